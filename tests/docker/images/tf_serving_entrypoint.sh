#!/bin/bash
# As the official image of TensorFlow Serving starts, which adds a model's name: who serves several must go past it.
exec tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name="${MODEL_NAME:-model}" \
    --model_base_path="/models/${MODEL_NAME:-model}" "$@"
