"""TF Serving's REST and gRPC API for a machine without a container engine.

`python -m devserver --model_name=NAME --model_base_path=FOLDER --port=8500 --rest_api_port=8501`
serves the highest version below FOLDER. It stands in for `tensorflow_model_server` with the same
flags, requests, answers, error messages and status codes for Predict, model status and metadata.

Differences from TF Serving:
- One model, one version, loaded once at the start. It supports no model config file, version
  labels, reloads or hot swaps, and no Classify, Regress, MultiInference, TF Lite or TLS.
- One execution at a time in the process, and a bounded queue (8 waiting requests unless a
  batching parameters file says otherwise). Rows of different clients are never merged, and
  batches are not padded; TF Serving without batching runs all requests at once.
- The ports are open while the model loads: the status is LOADING and Predict fails with
  UNAVAILABLE (503). TF Serving opens them after the load.
- A failed load or warm-up ends the process at once; TF Serving retries.
- JSON nested deeper than 64 levels, bodies over 100 MB, tensors over 2^28 elements, and over
  2^22 that repeat one value, are rejected; TF Serving crashes on the first and accepts the others.
- Tensors of quantized and 8-bit float types and strings as `tensor_content` are rejected.
- SIGTERM and SIGINT stop it gracefully; TF Serving does not handle them.
- It listens on 127.0.0.1, or on `--host`.
"""
