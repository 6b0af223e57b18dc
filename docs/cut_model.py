"""Cuts a network into two TorchScript halves that splitscale serves.

    python cut_model.py MODEL AFTER [--input SIZES] [--weights NAME] [--out DIR]

MODEL is the name of a torchvision model, or FILE.py:NAME, a module or a function that makes one. AFTER is the name
of the layer after which the network is cut, such as layer2 or features.4 (--list shows the names). It writes
half_a.pt and half_b.pt, checks that both together answer as the whole, and prints the commands that serve them.
"""

import argparse
import importlib.util
from pathlib import Path

import torch
from torch.fx import GraphModule, Tracer


class LayerTracer(Tracer):
    """Writes down what a network calls, and takes the layer of the cut for one call."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def is_leaf_module(self, module, name):
        return name == self.after or super().is_leaf_module(module, name)


def traced(model, after):
    """The calls of a network, and the one after which it is cut."""
    half = GraphModule(model, LayerTracer(after).trace(model)).eval()
    for node in reversed(half.graph.nodes):
        # Checks of the input's size would hold on to the input.
        if node.target is torch._assert:
            half.graph.erase_node(node)
    calls = [node for node in half.graph.nodes if node.op == "call_module" and node.target == after]
    if not calls:
        raise SystemExit(f"the network calls no layer {after!r}; --list shows what it has")
    return half, half.graph, calls[-1]


def cut(model, after, example):
    """The halves of a network, traced on one input: `example` -> A -> B -> logits."""
    model = model.eval()
    # A: the layer's output is the network's.
    a, graph, layer = traced(model, after)
    graph.output_node().args = (layer,)
    graph.eliminate_dead_code()
    a.delete_all_unused_submodules()
    a.recompile()
    # B: the layer's output is the input, and nothing else of A may be needed.
    b, graph, layer = traced(model, after)
    with graph.inserting_before(layer):
        layer.replace_all_uses_with(graph.placeholder("activation"))
    graph.eliminate_dead_code()
    for node in graph.find_nodes(op="placeholder"):
        if node.name != "activation" and node.users:
            raise SystemExit(f"more than the output of {after!r} crosses this cut; one tensor travels: cut elsewhere")
        if node.name != "activation":
            graph.erase_node(node)
    b.delete_all_unused_submodules()
    b.recompile()
    with torch.no_grad():
        a = torch.jit.trace(a, example)
        b = torch.jit.trace(b, a(example))
        torch.testing.assert_close(b(a(example)), model(example))
    return a, b


def load(name, weights):
    if ":" not in name:
        import torchvision

        return torchvision.models.get_model(name, weights=weights)
    file, name = name.rsplit(":", 1)
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, name)
    return found if isinstance(found, torch.nn.Module) else found()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("after", nargs="?")
    parser.add_argument("--list", action="store_true", help="print the names of the layers and stop")
    parser.add_argument("--input", default="3,224,224", help="shape of one input [3,224,224]")
    parser.add_argument("--weights", help="torchvision's own, such as DEFAULT; random without")
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()
    torch.manual_seed(0)
    model = load(args.model, args.weights)
    if args.list or args.after is None:
        print("\n".join(name for name, _ in model.named_modules() if name))
        return
    example = torch.rand(1, *map(int, args.input.split(",")))
    a, b = cut(model, args.after, example)
    args.out.mkdir(parents=True, exist_ok=True)
    for half, name in ((a, "half_a.pt"), (b, "half_b.pt")):
        half.save(str(args.out / name))
    at_cut = ",".join(map(str, a(example).shape[1:]))
    files = f"--module {args.out}/half_%s.pt --module-input %s --module-cut {args.after}"
    print("splitscale serve b", files % ("b", at_cut))
    print("splitscale serve proxy")
    print("splitscale serve a", files % ("a", args.input))


if __name__ == "__main__":
    main()
