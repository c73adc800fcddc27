"""What an assistant does through the MCP server image-generation-mcp."""

import asyncio
import json
import os
from pathlib import Path

import fastmcp
from fastmcp.client.transports import StdioTransport

PROMPT = "a small red circle on white, photo"


def _variables(address):
    return {
        **os.environ,
        "IMAGE_GENERATION_MCP_READ_ONLY": "false",
        "IMAGE_GENERATION_MCP_SCRATCH_DIR": str(Path("pictures").absolute()),
        "IMAGE_GENERATION_MCP_STYLES_DIR": str(Path("styles").absolute()),
        "IMAGE_GENERATION_MCP_PAID_PROVIDERS": "none",
        "IMAGE_GENERATION_MCP_SD_WEBUI_HOST": address,
        "IMAGE_GENERATION_MCP_OPENAI_API_KEY": "unused",
        "OPENAI_BASE_URL": f"{address}/v1",
    }


async def _drawn(address, provider, **options):
    """Ask for a picture, look until it is done, look at it."""
    command = StdioTransport("image-generation-mcp", ["serve"], env=_variables(address))
    async with fastmcp.Client(command) as client:
        listed = await client.call_tool("list_providers")
        asked = {"prompt": PROMPT, "provider": provider, **options}
        started = await client.call_tool("generate_image", asked)
        task = json.loads(started.content[0].text)
        seen = []
        while not seen or seen[-1]["status"] == "generating":
            await asyncio.sleep(0.1)
            named = {"image_id": task["image_id"]}
            status = await client.call_tool("check_generation_status", named)
            seen.append(json.loads(status.content[0].text))
        shown = None
        if seen[-1]["status"] == "completed":
            shown = await client.call_tool("show_image", {"uri": task["original_uri"]})
        return {
            "providers": json.loads(listed.content[0].text),
            "seen": seen,
            "shown": [part.model_dump(mode="json") for part in shown.content] if shown else None,
        }


def through_stable_diffusion_web_ui(address):
    return asyncio.run(_drawn(address, "sd_webui", negative_prompt="blue", aspect_ratio="3:2"))


def through_openai(address):
    return asyncio.run(_drawn(address, "openai"))
