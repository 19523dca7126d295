"""A folder of config.json and safetensors, of a family that the builder knows, as a float ONNX graph."""

import onnx_ir as ir

import toolkit
from toolkit.errors import ModelError
from toolkit.runtime.manifest import Task
from toolkit.sources.draft import Draft, refuse_pooling
from toolkit.sources.encoder import EncoderBuilder
from toolkit.sources.families import FAMILIES, Family
from toolkit.sources.files import Fields, Files
from toolkit.sources.heads import finish_embedding, tail_of
from toolkit.sources.labels import read_labels, sequence_task
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Modules
from toolkit.sources.sequence_head import TOKEN_HEAD, classify, classify_tokens
from toolkit.sources.weights import INDEX, SINGLE, Weights
from toolkit.sources.writer import IR_VERSION, GraphWriter, new_graph, set_output


def is_buildable(files: Files, config: Fields) -> bool:
    """Tell whether the weights are here and of a family that the builder knows."""
    known = config.text("model_type", "") in FAMILIES
    return known and (files.find(SINGLE) or files.find(INDEX)) is not None


def build(files: Files, config: Fields, modules: Modules | None, options: SourceOptions) -> Draft:
    """Build the graph from the weights; ModelError or NumericsError says what in the folder does not fit."""
    task = _task(config, modules, options)
    if task != "embedding":
        refuse_pooling(options, "the model is a classifier")
    family = FAMILIES[config.text("model_type")]
    weights = Weights(files, family.prefix)
    graph = new_graph("main", family.inputs)
    builder = EncoderBuilder(GraphWriter(graph), weights, family.config(config))
    inputs = {str(value.name): value for value in graph.inputs}
    tokens = family.encoder(builder, inputs)
    model = ir.Model(graph, ir_version=IR_VERSION, producer_name="edgequant", producer_version=toolkit.__version__)
    if task == "token-classification":
        labels, _ = read_labels(config, weights.rows(f"{TOKEN_HEAD}.weight"))
        set_output(graph, classify_tokens(builder, tokens, len(labels)), "logits", len(labels), by_token=True)
        return Draft(model, task, "logits", "edgequant", labels=labels)
    if task != "embedding":
        return _sequence_classifier(model, builder, tokens, family, (config, options))
    tail = tail_of(modules, options)
    pooled, size = finish_embedding(builder.writer, tokens, builder.config.hidden, inputs["attention_mask"], tail)
    set_output(graph, pooled, "sentence_embedding", size)
    name, unit = tail.pooling_name, tail.normalizes
    return Draft(model, task, "sentence_embedding", "edgequant", pooling=name, normalize=unit)


def _sequence_classifier(
    model: ir.Model,
    builder: EncoderBuilder,
    tokens: ir.Value,
    family: Family,
    asked: tuple[Fields, SourceOptions],
) -> Draft:
    """Append the head of a classifier or a reranker; which of the two it is, its number of logits says."""
    config, options = asked
    count = builder.weights.rows(f"{family.head.output}.weight")
    task = sequence_task(config, count, options.task)
    labels, several = read_labels(config, count) if task == "classification" else ((), False)
    set_output(model.graph, classify(builder, tokens, family.head, count), "logits", count)
    return Draft(model, task, "logits", "edgequant", labels=labels, multi_label=several)


HEADS: tuple[tuple[str, Task], ...] = (
    ("ForSequenceClassification", "classification"),
    ("ForTokenClassification", "token-classification"),
    ("Model", "embedding"),
)


def _task(config: Fields, modules: Modules | None, options: SourceOptions) -> Task:
    """Return what the model is for, by the user's word, modules.json or the architecture's name.

    A reranker is a classifier of one label: for both this says "classification".
    """
    names = config.values.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "BertModel"
    found = next((task for end, task in HEADS if name.endswith(end)), None)
    asked: Task | None = "classification" if options.task == "reranking" else options.task
    if asked not in (None, "embedding", found):
        expected = next(f"an architecture …{end}" for end, task in HEADS if task == asked)
        raise ModelError(f"the model has no head for {options.task}", where=config.path, got=name, expected=expected)
    if asked or modules:
        return asked or "embedding"
    if found:
        return found
    expected = "an encoder (…Model), …ForSequenceClassification or …ForTokenClassification"
    hint = "--task embedding takes the encoder alone; other heads are not supported yet"
    raise ModelError("unsupported kind of model", where=config.path, got=name, expected=expected, hint=hint)
