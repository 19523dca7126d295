"""A folder of config.json and safetensors, of a family that the builder knows, as a float ONNX graph."""

import onnx_ir as ir

import toolkit
from toolkit.errors import ModelError
from toolkit.sources.draft import Draft, refuse_pooling
from toolkit.sources.encoder import EncoderBuilder
from toolkit.sources.families import FAMILIES
from toolkit.sources.files import Fields, Files
from toolkit.sources.heads import finish_embedding, tail_of
from toolkit.sources.labels import read_labels
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Modules
from toolkit.sources.sequence_head import classify
from toolkit.sources.source import Task
from toolkit.sources.weights import INDEX, SINGLE, Weights
from toolkit.sources.writer import IR_VERSION, GraphWriter, new_graph, set_output


def is_buildable(files: Files, config: Fields) -> bool:
    """Tell whether the weights are here and of a family that the builder knows."""
    known = config.text("model_type", "") in FAMILIES
    return known and (files.find(SINGLE) or files.find(INDEX)) is not None


def build(files: Files, config: Fields, modules: Modules | None, options: SourceOptions) -> Draft:
    """Build the graph from the weights; ModelError or NumericsError says what in the folder does not fit."""
    task = _task(config, modules, options)
    if task == "classification":
        refuse_pooling(options, "the model is a classifier")
    family = FAMILIES[config.text("model_type")]
    sizes = family.config(config)
    weights = Weights(files, family.prefix)
    graph = new_graph("main", family.inputs)
    builder = EncoderBuilder(GraphWriter(graph), weights, sizes)
    inputs = {str(value.name): value for value in graph.inputs}
    tokens = family.encoder(builder, inputs)
    model = ir.Model(graph, ir_version=IR_VERSION, producer_name="edgequant", producer_version=toolkit.__version__)
    if task == "classification":
        labels, several = read_labels(config, weights.rows(f"{family.head.output}.weight"))
        set_output(graph, classify(builder, tokens, family.head, len(labels)), "logits", len(labels))
        return Draft(model, task, "logits", "edgequant", labels=labels, multi_label=several)
    tail = tail_of(modules, options)
    pooled, size = finish_embedding(builder.writer, tokens, sizes.hidden, inputs["attention_mask"], tail)
    set_output(graph, pooled, "sentence_embedding", size)
    name, unit = tail.pooling_name, tail.normalizes
    return Draft(model, task, "sentence_embedding", "edgequant", pooling=name, normalize=unit)


def _task(config: Fields, modules: Modules | None, options: SourceOptions) -> Task:
    """Return what the model is for, by the user's word, modules.json or the architecture's name."""
    names = config.values.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "BertModel"
    classifier = name.endswith("ForSequenceClassification")
    if options.task == "classification" and not classifier:
        expected = "an architecture …ForSequenceClassification"
        raise ModelError("the model has no classification head", where=config.path, got=name, expected=expected)
    if options.task or modules:
        return options.task or "embedding"
    if classifier or name.endswith("Model"):
        return "classification" if classifier else "embedding"
    expected = "an encoder (…Model) or …ForSequenceClassification"
    hint = "--task embedding takes the encoder alone; other heads are not supported yet"
    raise ModelError("unsupported kind of model", where=config.path, got=name, expected=expected, hint=hint)
