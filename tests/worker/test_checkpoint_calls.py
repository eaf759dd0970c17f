"""Encoders of no known family: each form of input and output that they may have."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import pytest
import torch
from helpers_models import noise

from hearbench.worker.checkpoints.families import STACKS
from hearbench.worker.checkpoints.measured import (
    AnyEncoder,
    MeasuredClips,
    Stated,
    known_tower,
    measured_tower,
)
from hearbench.worker.checkpoints.reading import PlainWaveform
from hearbench.worker.checkpoints.receptive import stack_of
from hearbench.worker.checkpoints.timing import Tokens
from hearbench.worker.errors import UnusableError

RATE = 16000
WIDTH = 6


def _frames(samples: torch.Tensor) -> torch.Tensor:
    """(n, times, 6 numbers) every 20 ms, of 40 ms."""
    frames = samples.unfold(1, 640, 320) * torch.hann_window(640)
    power: torch.Tensor = torch.fft.rfft(frames).abs()
    return power[..., 1 : WIDTH + 1]


class _Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.book = torch.nn.Embedding(4, WIDTH)


class _Mapping(_Net):
    def forward(self, input_values: torch.Tensor) -> Any:
        frames = _frames(input_values)
        return {"loss": None, "clip": frames.mean(1), "last_hidden_state": frames}


class _Tuple(_Net):
    def forward(self, input_values: torch.Tensor) -> Any:
        frames = _frames(input_values)
        return frames.mean(1), frames, 3


class _OneState(_Net):
    def forward(self, input_values: torch.Tensor) -> Any:
        return {"hidden_states": _frames(input_values)}


class _Logits(_Net):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> Any:
        assert mask is None
        return {"logits": _frames(x)}


class _Channels(_Net):
    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        channels = wav.shape[1]
        assert channels == 1
        return _frames(wav[:, 0]).transpose(1, 2)


class _Image(_Net):
    """Channels, bands and times, as of an image."""

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        frames = _frames(input_values).transpose(1, 2)[:, :, None]
        return torch.cat([frames, 3 * frames], 2)


class _Row(_Net):
    """All clips in one row."""

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        return _frames(input_values).flatten(0, 1)


@pytest.mark.parametrize(
    ("net", "tokens"),
    [
        (_Mapping(), Tokens()),
        (_Tuple(), Tokens()),
        (_OneState(), Tokens()),
        (_Logits(), Tokens()),
        (_Channels(), Tokens()),
        (_Image(), Tokens(0, 2, True)),
        (_Row(), Tokens()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_forms_of_input_and_output(net: _Net, tokens: Tokens) -> None:
    encoder = AnyEncoder(net, PlainWaveform(RATE), -1)
    assert encoder.width == WIDTH
    tower = measured_tower(encoder, 30.0, Stated())
    assert isinstance(tower, MeasuredClips)
    assert tower.grid.tokens == tokens
    assert tower.frames.hop == 320
    assert abs(float(tower.frames.first) - 319.5) <= 80
    audio = torch.from_numpy(noise(2, 1.5, RATE))
    scale = 2 if isinstance(net, _Image) else 1
    assert torch.allclose(tower.encode(audio)[0], scale * _frames(audio), rtol=1e-5)


def test_codes_stand_for_the_vectors_of_their_table() -> None:
    class Codes(_Net):
        def forward(self, input_values: torch.Tensor) -> Any:
            return {"audio_codes": self.codes(input_values)}

        def codes(self, samples: torch.Tensor) -> torch.Tensor:
            return samples.unfold(1, 320, 320).abs().amax(2).mul(4).long().clamp(max=3)[:, None]

    net = Codes()
    encoder = AnyEncoder(net, PlainWaveform(RATE), -1)
    audio = torch.from_numpy(noise(2, 1.5, RATE))
    expected = net.book.weight[net.codes(audio)[:, 0]]
    assert torch.equal(encoder.tokens(audio), expected)
    net.more = torch.nn.Embedding(8, WIDTH)
    with pytest.raises(UnusableError, match=r"codes \(1, 1, 50\), and it has 2 tables of vectors"):
        AnyEncoder(net, PlainWaveform(RATE), -1)


def test_a_codec_gives_what_it_would_quantise() -> None:
    class Quantiser(torch.nn.Module):
        def encode(self, latent: torch.Tensor) -> torch.Tensor:
            return latent.argmax(1)

    class Codec(_Net):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = Quantiser()

        def forward(self, input_values: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError  # it would make sound

        def encode(self, input_values: torch.Tensor) -> torch.Tensor:
            codes: torch.Tensor = self.quantizer.encode(_frames(input_values).transpose(1, 2))
            return codes

    encoder = AnyEncoder(Codec(), PlainWaveform(RATE), -1)
    audio = torch.from_numpy(noise(2, 1.5, RATE))
    assert torch.equal(encoder.tokens(audio), _frames(audio))


def test_what_holds_no_vectors_is_refused() -> None:
    class Empty(_Net):
        def forward(self, input_values: torch.Tensor) -> Any:
            return {"loss": None, "text": str(len(input_values))}

    with pytest.raises(UnusableError, match="its output holds no vectors, only loss, text"):
        AnyEncoder(Empty(), PlainWaveform(RATE), -1)


def test_one_vector_of_a_clip_serves_scenes() -> None:
    class Pooled(_Net):
        def forward(self, input_values: torch.Tensor) -> torch.Tensor:
            return _frames(input_values).mean(1)

    encoder = AnyEncoder(Pooled(), PlainWaveform(RATE), -1)
    tower = measured_tower(encoder, 30.0, Stated())
    assert tower.untimed
    assert "it gives 1 frames whatever the length of the audio" in tower.untimed
    audio = torch.from_numpy(noise(2, 1.5, RATE))
    assert torch.equal(tower.encode(audio)[0][:, 0], _frames(audio).mean(1))


def test_an_extractor_that_takes_nothing_but_audio() -> None:
    class Pairs:
        sampling_rate = RATE
        melspec_kwargs: ClassVar = {"hop_length": 160}

        def __call__(self, audios: list[Any], device: str = "cpu") -> dict[str, Any]:
            clips = torch.stack([torch.as_tensor(clip) for clip in audios]).to(device)
            padded = torch.nn.functional.pad(clips, (256, 256))
            frames = padded.unfold(1, 512, 160) * torch.hann_window(512)
            power = torch.log(torch.fft.rfft(frames).abs()[..., :80] + 1e-3)
            power = power[:, : power.shape[1] // 2 * 2]
            features = power.reshape(len(clips), -1, 160)
            return {"input_features": features, "audio_embed_sizes": [3] * len(clips)}

    transformers: Any = pytest.importorskip("transformers")
    config = transformers.GraniteSpeechConfig().encoder_config
    config.hidden_dim, config.num_layers, config.num_heads, config.dim_head = 16, 2, 2, 8
    from transformers.models.granite_speech import modeling_granite_speech as granite

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net: Any = granite.GraniteSpeechCTCEncoder(config)
    net.eval()
    encoder = AnyEncoder(net, Pairs(), -1)
    audio = torch.from_numpy(noise(2, 1.5, RATE))
    features = Pairs()(list(audio))["input_features"]
    with torch.no_grad():
        expected = net(features).last_hidden_state
        assert torch.allclose(encoder.tokens(audio), expected, rtol=1e-5, atol=1e-6)
    known = stack_of(STACKS[config.model_type](config, Pairs())).frames
    tower = known_tower(encoder, 30.0, known)
    # Pairs of spectra that are centred on 0 and 160.
    assert (tower.frames.first, tower.frames.hop) == (Fraction(80), Fraction(320))
    measured = measured_tower(encoder, 30.0, Stated())
    assert abs(measured.frames.first - tower.frames.first) <= 80
