"""The convolution STFT against PyTorch's."""

import pytest
import torch
from networks.spectral import ConvSTFT

SIZES = [(128, 64), (256, 64), (16, 4)]


def complex_stft(signal, n_fft, hop):
    """torch.stft, [batch, frame, bin]."""
    window = torch.hann_window(n_fft, dtype=signal.dtype)
    spectrum = torch.stft(
        signal, n_fft, hop, window=window, return_complex=True
    )
    return spectrum.transpose(1, 2)


@pytest.mark.parametrize("n_fft, hop", SIZES)
@pytest.mark.parametrize("extra", [1, 63, 64, 999])
def test_both_directions_are_those_of_torch(n_fft, hop, extra):
    length = n_fft // 2 + extra
    mixture = torch.randn(2, length)
    stft = ConvSTFT(n_fft, hop)
    expected = complex_stft(mixture.double(), n_fft, hop)
    found = stft(mixture)
    assert found.shape == (2, 2, length // hop + 1, n_fft // 2 + 1)
    error = torch.complex(*found.unbind(1)) - expected
    assert error.abs().max() < 1e-6 * expected.abs().max()

    # Not the STFT of any signal: overlapping frames disagree.
    spectrum = torch.randn_like(found)
    back = torch.istft(
        torch.complex(*spectrum.double().unbind(1)).transpose(1, 2),
        n_fft,
        hop,
        window=torch.hann_window(n_fft, dtype=torch.float64),
        length=length,
    )
    error = stft.inverse(spectrum, length) - back
    assert error.abs().max() < 1e-6 * back.abs().max()


def test_autocast_changes_no_bit():
    mixture = 1e3 * torch.randn(1, 500)
    stft = ConvSTFT(128, 64)
    expected = stft.inverse(stft(mixture), 500)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = stft.inverse(stft(mixture), 500)
    assert torch.equal(found, expected)


def test_nothing_is_saved():
    stft = ConvSTFT(128, 64)
    assert not stft.state_dict() and not list(stft.parameters())


def test_a_hop_longer_than_half_a_window_is_refused():
    with pytest.raises(ValueError, match="n_fft: expected a multiple of 128"):
        ConvSTFT(64, 64)
