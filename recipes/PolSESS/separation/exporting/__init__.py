"""Exports trained models for SpeechBrain, safetensors and ONNX Runtime."""
