"""TF Serving's REST and gRPC API for one machine, where there is no container engine.

`python -m devserver --model_name=NAME --model_base_path=FOLDER --port=8500 --rest_api_port=8501`
serves the highest version below FOLDER. It stands in for `tensorflow_model_server` with the same
flags, requests, answers, error messages and status codes for Predict, model status and metadata.

Limits, compared with the original:
- One model, one version, loaded once at the start. A model config file, version labels, reloads
  and hot swaps are not there, nor are Classify, Regress, MultiInference, TF Lite and TLS.
- One execution at a time in the process, and a bounded queue (8 waiting requests unless a
  batching parameters file says otherwise). Rows of different clients are never merged, and
  batches are not padded; the original without batching runs all requests at once.
- The ports are open while the model loads: status says LOADING and Predict gives UNAVAILABLE
  (503). The original opens them after the load.
- A load or warm-up that fails ends the process at once; the original retries.
- JSON nested deeper than 64 levels, bodies over 100 MB, tensors over 2^28 elements, and over
  2^22 that repeat one value, are refused; the original dies of the first and takes the others.
- Tensors of quantized and 8-bit float types and strings as `tensor_content` are refused.
- SIGTERM and SIGINT stop it gracefully; the original does not handle them.
- It listens on 127.0.0.1 unless told otherwise by `--host`.
"""
