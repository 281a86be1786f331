"""Keras' HDF5 files (whole models and weights only, Keras 1 to 3) and .keras archives."""

from zoo_inspection.bounded_json import mapping, parse, text
from zoo_inspection.findings import Report
from zoo_inspection.hdf5.file import Dataset, File, Node, walk
from zoo_inspection.keras_config import inspect_config
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.reading import Section
from zoo_inspection.tables import Weights
from zoo_inspection.zips import Archive

MAX_JSON = 8 * 2**20
MAX_CHUNKS = 1000
WEIGHTS_MEMBER = "model.weights.h5"
CONFIG_MEMBER, METADATA_MEMBER = "config.json", "metadata.json"
OPTIMIZER = ("optimizer_weights", "optimizer", "_optimizer")


def inspect_h5(section: Section, report: Report) -> None:
    """An HDF5 file; ``opaque`` if it is not one that Keras wrote."""
    file = File(section)
    report.facts["superblock"] = file.version
    attributes = file.root.attributes()
    links = {link.name for link in file.root.links()}
    if "model_config" in attributes or "model_weights" in links:
        report.facts["layout"] = "whole model"
    elif {"layer_names", "layer_names0"} & set(attributes):
        report.facts["layout"] = "weights only"
    elif {"layers", "_layer_checkpoint_dependencies", "vars"} & links:
        report.facts["layout"] = "weights only (Keras 3)"
    report.format = "keras-h5" if "layout" in report.facts else "opaque"
    if report.format == "opaque":
        report.facts["kind"] = "hdf5"
    _tell_versions(file, file.root, report)
    if "model_weights" in links and "keras_version" not in report.facts:
        weights = next(link for link in file.root.links() if link.name == "model_weights")
        if weights.kind == "hard":
            _tell_versions(file, file.node(weights.address), report)
    model = file.text(attributes, "model_config")
    if model is not None:
        inspect_config(parse(model.encode(), what="its model_config"), section.budget, report)
    _tell_weights(file, report)
    if report.format == "keras-h5" and not report.findings:
        report.clean("No layer, link or filter could run code or read other files (nothing was loaded).")


def _tell_versions(file: File, node: Node, report: Report) -> None:
    attributes = node.attributes()
    for name in ("keras_version", "backend"):
        found = file.text(attributes, name)
        if found is not None:
            report.facts[name] = found[:40]
    if "keras_version" in report.facts:
        report.facts["producer"] = f"keras {report.facts['keras_version']}"


def _tell_weights(file: File, report: Report) -> None:
    weights, optimizer = Weights(file.section.budget.limits.rows), 0
    dense = file.root.is_dense
    for path, node, link in walk(file, file.root):
        if link is not None:
            if link.kind == "external":
                report.dangerous(f"{path[:150]!r} links to another file: {link.target[:100]!r}.")
            else:
                report.suspicious(f"{path[:150]!r} is a soft link to {link.target[:100]!r}.")
        elif node is not None and node.is_dataset:
            found = node.dataset()
            _check(path, found, file.section.size, report)
            name = path.strip("/").removeprefix("model_weights/")
            if name.startswith(OPTIMIZER):
                optimizer += 1
            elif found.shape is not None:
                weights.add(name, found.dtype, found.shape)
        elif node is not None:
            dense = dense or node.is_dense
    if dense:
        report.suspicious("Some groups or attributes are stored densely (a newer layout of HDF5): not looked into.")
    report.facts |= weights.facts()
    if optimizer:
        report.facts["optimizer_tensors"] = optimizer


def _check(path: str, found: Dataset, size: int, report: Report) -> None:
    shown = repr(path[:150])
    if found.external:
        report.dangerous(f"The data set {shown} keeps its values in another file.")
    if found.layout == "virtual":
        report.dangerous(f"The data set {shown} is made of other data sets, maybe of other files.")
    for number in found.unknown_filters:
        report.suspicious(f"The data set {shown} needs the filter {number}, which Keras does not use.")
    if found.dtype in {"reference", "compound", "vlen"}:
        report.suspicious(f"The data set {shown} holds {found.dtype} values.")
    if found.position is not None and found.stored is not None and found.shape is not None:
        elements = 1
        for length in found.shape:
            elements *= length
        if elements * found.item_size != found.stored or found.position + found.stored > size:
            reason = (
                f"The data set {shown} claims {elements} values; its bytes are fewer or beyond the end of the file."
            )
            report.suspicious(reason)


def is_keras_archive(archive: Archive) -> bool:
    """Whether a zip has the two members without which Keras does not load it."""
    return CONFIG_MEMBER in archive.members and (
        WEIGHTS_MEMBER in archive.members or METADATA_MEMBER in archive.members
    )


def inspect_archive(archive: Archive, report: Report) -> None:
    """A .keras file: configuration, metadata and weights."""
    report.format = "keras"
    if METADATA_MEMBER in archive.members:
        metadata = mapping(parse(archive.read(METADATA_MEMBER, 2**16), what="its metadata"), "its metadata")
        report.facts["keras_version"] = text(metadata.get("keras_version"))[:40]
        report.facts["producer"] = f"keras {report.facts['keras_version']}"
    config = parse(archive.read(CONFIG_MEMBER, MAX_JSON + 1), what="its configuration")
    inspect_config(mapping(config, "its configuration"), archive.section.budget, report)
    if WEIGHTS_MEMBER not in archive.members:
        report.suspicious(f"The archive holds no {WEIGHTS_MEMBER}.")
    else:
        try:
            _tell_weights(File(archive.data(WEIGHTS_MEMBER)), report)
        except (Malformed, LimitReached) as fault:
            report.suspicious(f"Its weights cannot be looked at: {fault}.")
    if not report.findings:
        report.clean("No layer, link or filter could run code or read other files (nothing was loaded).")
