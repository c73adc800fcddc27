"""What people write with the package webuiapi."""

import base64
import io

import webuiapi

PROMPT = "a small red circle on white"


def _api(address, **options):
    return webuiapi.WebUIApi(baseurl=f"{address}/sdapi/v1", **options)


def _png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _drawn(result):
    return {
        "images": [_png(image) for image in result.images],
        "texts": [image.text for image in result.images],
        "sizes": [image.size for image in result.images],
        "info": result.info,
        "parameters": result.parameters,
    }


def constructor(address):
    api = _api(address)
    return [api.has_controlnet, api.has_adetailer, api.has_animatediff]


def constructor_with_a_password(address):
    return _api(address, username="me", password="secret").get_scripts()


def txt2img_defaults(address):
    return _drawn(_api(address).txt2img(prompt=PROMPT))


def txt2img_of_several(address):
    options = {"negative_prompt": "blue", "seed": 41, "n_iter": 2, "batch_size": 2, "steps": 3}
    return _drawn(_api(address).txt2img(prompt=PROMPT, **options))


def txt2img_with_hires_fix(address):
    return _drawn(_api(address).txt2img(prompt=PROMPT, enable_hr=True))


def txt2img_with_a_script(address):
    return _drawn(_api(address).txt2img(prompt=PROMPT, script_name="X/Y/Z plot"))


def img2img(address):
    api = _api(address)
    return _drawn(api.img2img(images=api.txt2img(prompt=PROMPT).images, prompt=PROMPT))


def getters(address):
    api = _api(address)
    names = (
        "options cmd_flags progress samplers schedulers sd_vae upscalers latent_upscale_modes loras"
        " sd_models hypernetworks face_restorers realesrgan_models prompt_styles scripts embeddings"
        " memory"
    )
    return {name: getattr(api, f"get_{name}")() for name in names.split()}


def lists_of_names(address):
    api = _api(address)
    return {
        "models": api.util_get_model_names(),
        "samplers": api.util_get_sampler_names(),
        "schedulers": api.util_get_scheduler_names(),
        "current": api.util_get_current_model(),
    }


def set_model(address):
    api = _api(address)
    api.util_set_model("stable")
    return api.util_get_current_model()


def options_there_and_back(address):
    api = _api(address)
    before = api.get_options()
    return {"answer": api.set_options(before), "before": before, "after": api.get_options()}


def commands(address):
    api = _api(address)
    names = ("interrupt", "skip", "refresh_checkpoints")
    return {name: getattr(api, name)() for name in names}


def wait_for_ready(address):
    api = _api(address)
    api.txt2img(prompt=PROMPT)
    api.util_wait_for_ready(check_interval=0.05)
    return api.get_progress()


def png_info_of_its_own_picture(address):
    api = _api(address)
    drawn = api.txt2img(prompt=PROMPT, negative_prompt="blue", seed=5)
    return {
        "image": _png(drawn.image),
        "read": api.png_info(drawn.image).info,
        "text": drawn.info["infotexts"][0],
    }
