"""The small vision transformer."""

import numpy as np
import pytest
import torch

from expunge.data import Dataset
from expunge.errors import ConfigError
from expunge.learners import load
from expunge.models import vit
from expunge.recipe import Job, train_model, train_recipe_of

SMALL = {"classes": 3, "image_size": 8, "layers": 1, "width": 8, "heads": 2}


def test_pictures_become_logits_and_patches_are_told_apart():
    torch.manual_seed(0)
    model = vit.build(**SMALL).eval()
    image = torch.zeros(1, 1, 8, 8)
    image[..., :4, :4] = 1
    first, moved = model(image).logits, model(image.flip(-1)).logits
    assert first.shape == (1, 3)
    assert not torch.allclose(first, moved)
    torch.testing.assert_close(model(image.repeat(4, 1, 1, 1)).logits, first.repeat(4, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_size": 9}, "patch_size 4 must divide image_size 9"),
        ({"width": 9}, "heads 2 must divide width 9"),
        ({"layers": 0}, "sizes must be ≥ 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        vit.build(**{**SMALL, **changed})


def test_a_recipe_trains_it_and_the_folder_is_read_again(tmp_path):
    label = np.arange(24) % 3
    image = np.zeros((24, 1, 8, 8), dtype=np.float32)
    image[np.arange(24), 0, label, :] = 1
    data = Dataset("bars", [f"b{n}" for n in range(24)], {"image": image, "label": label})
    values = {"data": "bars", "learner": {"kind": "classifier", "model": {"name": "vit", **SMALL}}}
    train = {"epochs": 40, "lr": 1e-2, "optimiser": "adam", "batch_size": 24}
    folder = train_model(Job(train_recipe_of({**values, "train": train}, "here"), data), tmp_path / "model")
    assert load(folder).score(data, data.ids)[""]["hit"].all()
