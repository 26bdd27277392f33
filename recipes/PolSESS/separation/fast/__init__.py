"""Faster Conv-TasNet with SpeechBrain's parameters and results.

The YAML names ``fast.convtasnet.MaskNet`` in place of
``speechbrain.lobes.models.conv_tasnet.MaskNet``.
"""
