"""``ro-crate-metadata.json`` of a study's run: plain JSON-LD, by the Workflow Run Crate profile 0.5.

Profile: https://w3id.org/ro/wfrun/workflow/0.5, which extends Process Run Crate 0.5 and Workflow RO-Crate
1.0, all on RO-Crate 1.1. The workflow (``Snakefile``) is the main entity; one action, the run, has it as its
instrument, data and configuration as its objects, and what the study shows as its results.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

CRATE_FILE = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
README = "README.md"
CONFIGURATION = "configuration.yaml"
_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_MIT = "https://spdx.org/licenses/MIT"
_RUN, _MAKERS, _TERMS = "#run", "#contributors", "#terms"
_HOMES = {
    "python": "https://www.python.org/",
    "torch": "https://pytorch.org/",
    "numpy": "https://numpy.org/",
    "pandas": "https://pandas.pydata.org/",
    "scikit-learn": "https://scikit-learn.org/",
    "snakemake": "https://snakemake.github.io/",
}
_FORMATS = {
    ".html": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".yaml": "application/yaml",
}

Entity = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CrateFile:
    """A file of the crate.

    Attributes:
        path: in the crate, with slashes.
        what: it is, in words.
        size_bytes, sha256: of its content.
        is_result: whether the run made it for whoever reads the study.
    """

    path: str
    what: str
    size_bytes: int
    sha256: str
    is_result: bool


@dataclass(frozen=True, kw_only=True)
class CrateFacts:
    """What the metadata say.

    Attributes:
        study: its name.
        answers: its verdicts, a sentence each.
        version: of the workflow.
        started, ended: of the run, ISO 8601.
        published: day on which the crate was written, ISO 8601.
        command: that runs the study.
        seconds: in which at least one job ran.
        agent: who ran it, a name; None where that is not said.
        datasets, weights: as the data manifest has them.
        software: versions by name.
        settings: of the run by name: seeds, digests.
        files: of the crate, but for its metadata.
        folders: of code, what they hold by path, with a slash at the end.
    """

    study: str
    answers: Sequence[str]
    version: str
    started: str
    ended: str
    published: str
    command: str
    seconds: float
    agent: str | None
    datasets: Sequence[Mapping[str, Any]]
    weights: Sequence[Mapping[str, Any]]
    software: Mapping[str, str]
    settings: Mapping[str, str]
    files: Sequence[CrateFile]
    folders: Mapping[str, str]


def crate_metadata(facts: CrateFacts) -> dict[str, Any]:
    """The content of ``ro-crate-metadata.json``."""
    inputs = [*map(_dataset, facts.datasets), *map(_weights, facts.weights)]
    software = [_software(name, version) for name, version in facts.software.items()]
    settings = [
        {"@id": f"#setting-{_slug(name)}", "@type": "PropertyValue", "name": name, "value": value}
        for name, value in facts.settings.items()
    ]
    agent = [{"@id": "#agent", "@type": "Person", "name": facts.agent}] if facts.agent else []
    files = [_file(file) for file in facts.files if file.path != WORKFLOW]
    folders = [
        {"@id": path, "@type": "Dataset", "name": path, "description": what}
        for path, what in facts.folders.items()
    ]
    graph = [
        _descriptor(),
        _root(facts, [*files, *folders]),
        *_context_entities(),
        _workflow(facts, software),
        _run(facts, [*inputs, *settings], agent),
        *inputs,
        *settings,
        *software,
        *agent,
        *files,
        *folders,
    ]
    return {"@context": _CONTEXT, "@graph": [_single(entity) for entity in graph]}


def _single(entity: Entity) -> Entity:
    """An entity whose lists of one are that one, as the specification wants it."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in entity.items()
    }


def _id(path: str) -> str:
    return quote(path)


def _refs(entities: Iterable[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]


def _slug(name: str) -> str:
    return quote(name.replace(" ", "-"), safe="")


def _descriptor() -> Entity:
    return {
        "@id": CRATE_FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [{"@id": _SPECIFICATION}, {"@id": _WORKFLOW_CRATE}],
    }


def _root(facts: CrateFacts, parts: Sequence[Entity]) -> Entity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Video pretraining on chest CT: run of the study {facts.study}",
        "description": " ".join(
            [f"Results of the study {facts.study}, and the workflow that made them.", *facts.answers]
        ),
        "datePublished": facts.published,
        "author": {"@id": _MAKERS},
        "license": {"@id": _TERMS},
        "conformsTo": [{"@id": profile} for profile in _PROFILES],
        "mainEntity": {"@id": WORKFLOW},
        "hasPart": [{"@id": WORKFLOW}, *_refs(parts)],
        "mentions": [{"@id": _RUN}],
    }


def _context_entities() -> list[Entity]:
    profiles = [
        {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
        for profile, (name, version) in _PROFILES.items()
    ]
    return [
        *profiles,
        {
            "@id": _LANGUAGE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": "https://snakemake.github.io/",
            "url": "https://snakemake.github.io/",
        },
        {"@id": _MIT, "@type": "CreativeWork", "name": "MIT License", "identifier": "MIT", "url": _MIT},
        {
            "@id": _TERMS,
            "@type": "CreativeWork",
            "name": "Terms of the workflow, of the data and of the weights",
            "description": "The workflow is under the MIT licence (LICENSE). Results follow from data and "
            "weights under licences of their own, which are named with each of them and in the citations.",
        },
        {"@id": _MAKERS, "@type": "Organization", "name": "The chestct-video-pretraining contributors"},
    ]


def _workflow(facts: CrateFacts, software: Sequence[Entity]) -> Entity:
    found = next((_file(file) for file in facts.files if file.path == WORKFLOW), {})
    return found | {
        "@id": WORKFLOW,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "Video pretraining on chest CT",
        "description": "The study of Ke et al. (MIDL 2023) as a Snakemake workflow.",
        "version": facts.version,
        "license": {"@id": _MIT},
        "creator": {"@id": _MAKERS},
        "programmingLanguage": {"@id": _LANGUAGE},
        "softwareRequirements": _refs(software),
    }


def _run(facts: CrateFacts, inputs: Sequence[Entity], agent: Sequence[Entity]) -> Entity:
    results = [{"@id": _id(file.path)} for file in facts.files if file.is_result]
    return {
        "@id": _RUN,
        "@type": "CreateAction",
        "name": f"Run of the study {facts.study}",
        "description": f"{facts.command}; jobs ran for {facts.seconds / 3600:.2f} hours.",
        "startTime": facts.started,
        "endTime": facts.ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "instrument": {"@id": WORKFLOW},
        "object": [{"@id": CONFIGURATION}, *_refs(inputs)],
        "result": results,
    } | ({"agent": {"@id": agent[0]["@id"]}} if agent else {})


def _dataset(facts: Mapping[str, Any]) -> Entity:
    entity = {
        "@id": f"#data-{_slug(facts['dataset'])}",
        "@type": "CreativeWork",
        "name": facts["dataset"],
        "description": str(facts.get("description") or facts["dataset"]),
        "version": str(facts.get("version", "")),
        "isBasedOn": str(facts.get("source", "")),
        "license": str(facts.get("licence", "")),
        "citation": list(facts.get("citation") or ()),
    }
    return {key: value for key, value in entity.items() if value}


def _weights(facts: Mapping[str, Any]) -> Entity:
    entity = {
        "@id": f"#weights-{_slug(facts['weights_id'])}",
        "@type": "CreativeWork",
        "name": f"Weights {facts['weights_id']}",
        "description": f"{facts.get('model')}, trained on {facts.get('training_data')}",
        "isBasedOn": str(facts.get("url") or facts.get("source") or ""),
        "license": str(facts.get("licence", "")),
        "citation": list(facts.get("citation") or ()),
        "sha256": facts["sha256"],
    }
    return {key: value for key, value in entity.items() if value}


def _software(name: str, version: str) -> Entity:
    entity = {
        "@id": _HOMES.get(name, f"#software-{_slug(name)}"),
        "@type": "SoftwareApplication",
        "name": name,
        "softwareVersion": version,
        "url": _HOMES.get(name, ""),
    }
    return {key: value for key, value in entity.items() if value}


def _file(file: CrateFile) -> Entity:
    suffix = f".{file.path.rpartition('.')[2]}"
    entity = {
        "@id": _id(file.path),
        "@type": "File",
        "name": file.path.rpartition("/")[2],
        "description": file.what,
        "contentSize": str(file.size_bytes),
        "sha256": file.sha256,
        "encodingFormat": _FORMATS.get(suffix, "text/plain"),
    }
    # What the engine itself writes of a run is no result of the workflow, but is about the run.
    about = "./" if file.path == README else _RUN if file.path.endswith("/events.jsonl") else None
    return entity | ({"about": {"@id": about}} if about else {})
