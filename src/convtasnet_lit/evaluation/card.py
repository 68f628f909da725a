"""The model card of a published network: what it is, what it was trained on, what it scored, and how to use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from omegaconf.errors import OmegaConfBaseException

from convtasnet_lit.config import Config, typed
from convtasnet_lit.data_config import Condition
from convtasnet_lit.errors import InputError
from convtasnet_lit.evaluation.card_scores import CORPORA, clean_scores, described, hardships, results, scored
from convtasnet_lit.evaluation.tables import METRICS
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.published import is_hub_id
from convtasnet_lit.weights.shipped import count_of_speakers
from convtasnet_lit.weights.stored import StoredNetwork

PAPER = "[Conv-TasNet](https://arxiv.org/abs/1809.07454)"


def model_card(stored: StoredNetwork, name: str, licence: str, about: str = "") -> str:
    """Write the card as Markdown with the Hugging Face Hub's metadata on top.

    What the run left behind beside the network is in it: settings, validation scores, and the test scores of these
    very weights.

    Args:
        stored: The network.
        name: `user/name` on the Hub, or the folder, as `Separator.from_pretrained` will be given it.
        licence: Of the weights, by the Hub's name, such as `apache-2.0`.
        about: What else is to be said of the data, as Markdown.

    Raises:
        InputError: The network cannot be built, or a file of its run is damaged.
    """
    network, scores = stored.build(), clean_scores(stored)
    sections = [
        f"---\n{yaml.safe_dump(_metadata(name, licence, scores), sort_keys=False)}---",
        f"# {_title(name)}\n\n{_summary(stored)}",
        _table(_architecture(network, stored)),
        _data(stored, about),
        *([] if stored.config is None else [f"## Training\n\n{_table(_training(stored))}"]),
        *([] if scores is None else [results(scores)]),
        *hardships(stored),
        _use(name),
        _limits(stored),
        f"## Licence\n\n{licence}. Recordings it was trained on keep their own licences.",
    ]
    return "\n\n".join(sections) + "\n"


def _title(name: str) -> str:
    return Path(name).absolute().name


def _metadata(name: str, licence: str, report: Mapping[str, Any] | None) -> dict[str, Any]:
    """The block that the Hub's search, widgets and leaderboards read."""
    values: dict[str, Any] = {
        "license": licence,
        "library_name": "convtasnet_lit",
        "pipeline_tag": "audio-to-audio",
        "tags": ["audio", "speech-separation", "audio-source-separation", "conv-tasnet"],
    }
    if report is None:
        return values
    scores, corpus = report["scores"]["all"], report["corpus"]
    means = {key: scores[key]["mean"] for key in scored(scores) if scores[key]["mean"] is not None}
    metrics = [{"type": key, "name": METRICS[key], "value": round(mean, 2)} for key, mean in means.items()]
    dataset = {"type": corpus, "name": CORPORA.get(corpus, corpus), "split": report["split"]}
    result = {"task": {"type": "audio-to-audio", "name": "speech separation"}, "dataset": dataset, "metrics": metrics}
    index = [{"name": _title(name), "results": [result]}]
    return values | {"metrics": list(means), "model-index": index}


def _summary(stored: StoredNetwork) -> str:
    speakers = count_of_speakers(stored.fewest_speakers, stored.num_sources)
    what = f"A {PAPER} that separates {speakers} from one channel at {stored.sample_rate} Hz"
    if stored.origin == "convtasnet_lit":
        return f"{what}, trained with convtasnet_lit."
    return f"{what}. The weights are those of a network of {stored.origin}, converted for convtasnet_lit."


def _architecture(network: ConvTasNet, stored: StoredNetwork) -> dict[str, str]:
    size = sum(parameter.numel() for parameter in network.parameters())
    listed = ", ".join(f"{key} {value}" for key, value in stored.arguments.items())
    return {
        "parameters": f"{size:,}",
        "receptive field": f"{network.receptive_field_seconds(stored.sample_rate):.2f} s",
        "arguments of `ConvTasNet`": listed,
    }


def _data(stored: StoredNetwork, about: str) -> str:
    more = about and f"\n\n{about.strip()}"
    if not stored.corpus:
        return f"## Data\n\nThe file of {stored.origin} does not say what it was trained on.{more}"
    met = f"\n\n{len(stored.speakers)} speakers were heard in training and validation." if stored.speakers else ""
    disjoint = "Splits are by speaker: nobody of the test set was heard in training or validation."
    if stored.unmarked:
        disjoint += f" That is not known of the network it began with, {stored.unmarked}."
    return f"## Data\n\n{described(stored.corpus)}, at {stored.sample_rate} Hz.{met} {disjoint}{more}"


def _training(stored: StoredNetwork) -> dict[str, str]:
    try:
        config = typed(Config, stored.config)
    except OmegaConfBaseException as error:
        raise InputError(
            f"{stored.file}: not a configuration of convtasnet_lit: {str(error).splitlines()[0]}"
        ) from error
    data, augment, trainer, optimizer = config.data, config.augment, config.trainer, config.optimizer
    batch = data.mixtures_per_batch * trainer.accumulate_grad_batches * trainer.devices * trainer.num_nodes
    speed = f"speed 1 ± {augment.speed_range}" if augment.speed_range else "no speed change"
    snr = f"SNR ± {augment.snr_range_db} dB in {augment.snr_probability:.0%}" if augment.snr_probability else "no SNR"
    rows = {
        "mixtures an epoch": f"{data.train_mixtures:,} of {data.segment}, drawn anew each epoch",
        "levels": f"U(-{data.level_range_db}, {data.level_range_db}) dB relative to the first speaker",
        "normalization": "mixtures at -25 dBFS" if data.normalize else "none",
        "augmentation": f"{'random crop' if augment.random_crop else 'no random crop'}, {speed}, {snr}",
        **({"began with": Path(config.init).name} if config.init else {}),
        **_conditions(config),
        "loss": f"negative {'SNR' if data.mixed_counts else 'SI-SDR'} of the best permutation",
        "effective batch": f"{batch} mixtures",
        "optimizer": f"{optimizer.name.name.capitalize()}, learning rate {optimizer.lr:g}, "
        f"{config.schedule.name.name}, gradients clipped at norm {trainer.gradient_clip_norm:g}",
        **({"weights": f"moving average with decay {trainer.ema_decay:g}"} if trainer.ema_decay else {}),
        "seed": f"{config.seed}",
    }
    return rows | _progress(stored)


def _conditions(config: Config) -> dict[str, str]:
    """What recordings' mixtures were made like, and what of a room the network gives back."""
    met = {condition: chance for condition, chance in config.augment.chances.items() if chance}
    if not met:
        return {}
    target = f"; in rooms the target is the {config.data.target.name} speech" if Condition.room in met else ""
    return {"conditions": ", ".join(f"{each.name} in {chance:.0%}" for each, chance in met.items()) + target}


def _progress(stored: StoredNetwork) -> dict[str, str]:
    """Which epoch of how many the network is of, and its validation scores."""
    history = stored.run and stored.run / "history.csv"
    if stored.epoch is None or history is None or not history.is_file():
        return {}
    try:
        table = pd.read_csv(history).set_index("epoch")
        scores = table.loc[stored.epoch].filter(like="val/")
        listed = ", ".join(f"{str(name).removeprefix('val/')} {value:.2f}" for name, value in scores.items())
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{history}: has no row of epoch {stored.epoch}, or is damaged") from error
    return {"checkpoint": f"epoch {stored.epoch + 1} of {len(table)}; validation {listed}"}


def _use(name: str) -> str:
    return f"""## Use

```
pip install {"'convtasnet_lit[hub]'" if is_hub_id(name) else "convtasnet_lit"}
convtasnet separate meeting.wav --model {name} --out apart
```

```python
from convtasnet_lit.inference.separator import Separator

separator = Separator.from_pretrained("{name}")
print(separator.separate_file("meeting.wav", "apart"))  # one WAV a speaker
```"""


def _limits(stored: StoredNetwork) -> str:
    counts = stored.fewest_speakers < stored.num_sources
    speakers = count_of_speakers(stored.fewest_speakers, stored.num_sources)
    gives = "those speakers that it hears" if counts else f"{stored.num_sources} outputs whatever is heard"
    lines = [
        f"It gives {gives}, and is meant for recordings of {speakers}.",
        f"It works at {stored.sample_rate} Hz: the outputs hold nothing above {stored.sample_rate / 2:g} Hz.",
        "Which output holds whom is not fixed.",
    ]
    if stored.config is not None:
        lines.append(_heard(typed(Config, stored.config).augment.chances))
    if stored.corpus == "demo":
        lines.append("It has heard no human voice: its scores say nothing about real speech.")
    if not stored.arguments.get("causal"):
        lines.append("It is not causal: it needs the recording before it can begin.")
    return "\n".join(["## Limits\n", *(f"- {line}" for line in lines)])


def _heard(chances: Mapping[Condition, float]) -> str:
    sums = "It was trained on sums of single speakers' recordings"
    if not any(chances.values()):
        return f"{sums}; no noise, music or reverberation was added."
    return f"{sums} in simulated conditions; no recording of a conversation was among them."


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())])
