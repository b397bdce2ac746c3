"""Counted work against sums done by hand."""

from chexjax.families import preset
from chexjax.perf import flops

FAMILY = preset("chexagent2_nano")


def test_text_by_hand():
    # Width 32, MLP 128, 2 layers, 1,024 words; 3 prompt tokens, 1 response of 2 tokens.
    linear = 2 * (4 * 32 * 32 + 2 * 32 * 128)
    prompt = 3 * ((linear + 4 * 32 * 3) + 2 * 2 * 32 * 32)
    answer = 2 * (2 * (linear + 4 * 32 * 5) + 2 * 32 * 1024)
    work = flops.Work(images=0, prefixes=1, prefix=3, responses=1, response=2)
    assert flops.forward(FAMILY, work) == prompt + answer


def test_a_frozen_tower_saves_its_backward_pass():
    work = flops.Work(images=2, prefixes=1, prefix=40, responses=2, response=8)
    whole = flops.train_step(FAMILY, work, frozen_vision=False)
    frozen = flops.train_step(FAMILY, work, frozen_vision=True)
    assert whole - frozen == 2 * flops.images(FAMILY, 2)


def test_images_by_hand():
    # 32 px in patches of 8: 16 tokens of 64 pixels; width 32, MLP 128, 2 layers, bridge of 128.
    layer = 2 * (4 * 32 * 32 + 2 * 32 * 128) + 4 * 32 * 16
    bridge = 2 * (32 * 128 + 128 * 32) + 2 * 32 * 32
    assert flops.images(FAMILY, 3) == 3 * 16 * (2 * 64 * 32 + 2 * layer + bridge)
