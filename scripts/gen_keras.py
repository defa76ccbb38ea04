#!/usr/bin/python3
"""Writes weights/testdata/keras: one small network in each of the layouts that Keras has used, and its outputs.

Needs Debian's python3-h5py and python3-numpy. Keras itself is not needed: the layouts are those of
keras/src/legacy/saving/legacy_h5_format.py (Keras 1 and 2) and keras/src/saving/saving_lib.py (Keras 3).
The outputs are computed here in float64, loop by loop.

  VGGO_TESTDATA=... /usr/bin/python3 scripts/gen_keras.py

  /usr/bin/python3 scripts/gen_keras.py vgg16 FILE.h5

writes a file with the names, shapes and layout of Keras' vgg16_weights_tf_dim_ordering_tf_kernels.h5 and random values.

With VGGO_TESTDATA the first form also sums up the arrays of the real files there, as h5py reads them.
"""
import io
import json
import os
import sys
import zipfile

import h5py
import numpy as np

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "keras")
H, W = 9, 8


def conv(x, k, b, pad):  # x H,W,C; k rows,columns,in,out; pad (top, bottom), (left, right)
    x = np.pad(x, (pad[0], pad[1], (0, 0)))
    kh, kw, _, out = k.shape
    y = np.zeros((x.shape[0] - kh + 1, x.shape[1] - kw + 1, out))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = np.tensordot(x[i : i + kh, j : j + kw], k, 3) + b
    return y


def pool(x):
    h, w = x.shape[0] // 2, x.shape[1] // 2
    return x[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).max((1, 3))


def forward(x, p, without="", whole=False):
    """One picture, H,W,C. Without batch norm's scale or center, if so asked."""
    x = np.maximum(conv(x, p["conv1"][0], p["conv1"][1], ((1, 1), (1, 1))), 0)
    gamma, beta, mean, var = p["bn"]
    if "scale" in without:
        gamma = 1
    if "center" in without:
        beta = 0
    x = gamma * (x - mean) / np.sqrt(var + 1e-3) + beta
    x = np.maximum(conv(x, p["conv2"][0], p["conv2"][1], ((1, 0), (0, 1))), 0)
    x = pool(x)
    if whole:
        return x.max((0, 1)) @ p["dense2"][0] + p["dense2"][1]
    x = x.reshape(-1)
    x = np.maximum(x @ p["dense1"][0] + p["dense1"][1], 0)
    x = x @ p["dense2"][0] + p["dense2"][1]
    return x


def parameters():
    r = np.random.RandomState(4)
    f = lambda *shape: (r.standard_normal(shape) * np.sqrt(2 / max(1, np.prod(shape[:-1])))).astype(np.float32)
    # after conv2, whose zeros are one row above and one column to the right: 8 x 7, pooled 4 x 3
    return {
        "conv1": [f(3, 3, 3, 5), f(5)],
        "bn": [1 + f(5) / 4, f(5), f(5) / 4, 1 + np.abs(f(5))],
        "conv2": [f(3, 3, 5, 6), f(6)],
        "dense1": [f(4 * 3 * 6, 7), f(7)],
        "dense2": [f(7, 4), f(4)],
    }


LAYERS2 = [
    ("InputLayer", {"batch_input_shape": [None, H, W, 3], "name": "input_1"}),
    ("Conv2D", {"name": "conv1", "filters": 5, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "data_format": "channels_last",
                "dilation_rate": [1, 1], "groups": 1, "activation": "relu", "use_bias": True}),
    ("BatchNormalization", {"name": "bn", "axis": [3], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True}),
    ("ZeroPadding2D", {"name": "zero_padding2d", "padding": [[1, 0], [0, 1]], "data_format": "channels_last"}),
    ("Conv2D", {"name": "conv2", "filters": 6, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "activation": "linear", "use_bias": True}),
    ("Activation", {"name": "activation", "activation": "relu"}),
    ("MaxPooling2D", {"name": "pool", "pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}),
    ("Flatten", {"name": "flatten", "data_format": "channels_last"}),
    ("Dense", {"name": "dense1", "units": 7, "activation": "relu", "use_bias": True}),
    ("Dropout", {"name": "dropout", "rate": 0.5}),
    ("Dense", {"name": "dense2", "units": 4, "activation": "softmax", "use_bias": True}),
]


def sequential(layers):
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": [{"class_name": c, "config": s} for c, s in layers]}}


def functional(layers):
    out, last = [], None
    for c, s in layers:
        out.append({"class_name": c, "config": s, "name": s["name"], "inbound_nodes": [[[last, 0, 0, {}]]] if last else []})
        last = s["name"]
    return {"class_name": "Functional", "config": {"name": "model", "layers": out}}


NAMES = {"conv1": ["kernel:0", "bias:0"], "conv2": ["kernel:0", "bias:0"], "dense1": ["kernel:0", "bias:0"], "dense2": ["kernel:0", "bias:0"],
         "bn": ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"]}


def texts(list):
    return np.array([t.encode() for t in list]) if list else np.array([])


def legacy(group, p, layers, names, split=None):
    """Keras 1 and 2: layer_names and weight_names, split into several attributes where they are long."""
    order = [s["name"] for _, s in layers]
    if split:
        for i in range(0, len(order), split):
            group.attrs[f"layer_names{i // split}"] = texts(order[i : i + split])
    else:
        group.attrs["layer_names"] = texts(order)
    for layer in order:
        g = group.create_group(layer)
        arrays = [n if n.startswith(layer) else layer + "/" + n for n in names.get(layer, [])]
        g.attrs["weight_names"] = texts(arrays)
        for n, v in zip(arrays, p.get(layer, [])):
            g.create_dataset(n, data=v)


NUMBERED = {"conv1": "conv2d", "conv2": "conv2d_1", "bn": "batch_normalization", "dense1": "dense", "dense2": "dense_1"}


def numbered(group, p, names=NUMBERED, layers="layers", **how):
    """Keras 3: layers/<class>_<count>/vars/<i>."""
    for key, name in names.items():
        for i, v in enumerate(p[key]):
            group.create_dataset(f"{layers}/{name}/vars/{i}", data=v, **(how if v.ndim > 1 else {}))
    group.create_dataset(f"{layers}/dropout/seed_generator/vars/0", data=np.array([1, 2], np.uint32))


def archive(name, config, p, **how):
    """A .keras file."""
    inner = io.BytesIO()
    with h5py.File(inner, "w") as h:
        numbered(h, p, **how)
    with zipfile.ZipFile(os.path.join(OUT, name), "w") as z:
        z.writestr(zipfile.ZipInfo("metadata.json"), json.dumps({"keras_version": "3.5.0"}))
        z.writestr(zipfile.ZipInfo("config.json"), json.dumps(config))
        z.writestr(zipfile.ZipInfo("model.weights.h5"), inner.getvalue())


def changed(layers, classes, **settings):
    """Layers with other settings in those of some classes."""
    return [(c, {**s, **settings} if c in classes else s) for c, s in layers]


def main():
    os.makedirs(OUT, exist_ok=True)
    p = parameters()
    pictures = np.random.RandomState(5).rand(3, H, W, 3).astype(np.float32)
    golden = {"pictures": pictures.transpose(0, 3, 1, 2).reshape(3, -1).tolist(), "logits": [forward(x, p).tolist() for x in pictures.astype(np.float64)]}
    file = lambda name, **how: h5py.File(os.path.join(OUT, name), "w", **how)

    with file("keras2.h5") as h:  # model.save
        h.attrs["backend"], h.attrs["keras_version"], h.attrs["model_config"] = "tensorflow", "2.15.0", json.dumps(sequential(LAYERS2))
        legacy(h.create_group("model_weights"), p, LAYERS2, NAMES)
        h.create_dataset("optimizer_weights/Adam/m", data=np.zeros(3, np.float32))
    with file("keras2-functional.h5") as h:
        h.attrs["backend"], h.attrs["model_config"] = np.bytes_("tensorflow"), np.bytes_(json.dumps(functional(LAYERS2)))
        legacy(h.create_group("model_weights"), p, LAYERS2, NAMES, split=4)
    with file("keras2-weights.h5") as h:  # model.save_weights
        legacy(h, p, LAYERS2, NAMES)
    # Keras 1 with Theano: channels first, kernels out,in,rows,columns and turned, its own names
    th = {k: list(v) for k, v in p.items()}
    for k in ["conv1", "conv2"]:
        th[k][0] = np.ascontiguousarray(p[k][0].transpose(3, 2, 0, 1)[:, :, ::-1, ::-1])
    th["dense1"][0] = p["dense1"][0].reshape(4, 3, 6, 7).transpose(2, 0, 1, 3).reshape(-1, 7)
    names1 = {k: [f"{k}_W", f"{k}_b"] for k in ["conv1", "conv2", "dense1", "dense2"]}
    names1["bn"] = ["bn_gamma", "bn_beta", "bn_running_mean", "bn_running_std"]
    layers1 = [
        ("Convolution2D", {"batch_input_shape": [None, 3, H, W], "name": "conv1", "nb_filter": 5, "nb_row": 3, "nb_col": 3, "border_mode": "same",
                           "subsample": [1, 1], "dim_ordering": "th", "activation": "relu", "bias": True}),
        ("BatchNormalization", {"name": "bn", "axis": 1, "mode": 0, "momentum": 0.99, "epsilon": 0.001}),
        ("ZeroPadding2D", {"name": "zero_padding2d", "padding": [[1, 0], [0, 1]], "dim_ordering": "th"}),
        ("Convolution2D", {"name": "conv2", "nb_filter": 6, "nb_row": 3, "nb_col": 3, "border_mode": "valid", "subsample": [1, 1], "dim_ordering": "th",
                           "activation": "linear", "bias": True}),
        ("Activation", {"name": "activation", "activation": "relu"}),
        ("MaxPooling2D", {"name": "pool", "pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid", "dim_ordering": "th"}),
        ("Flatten", {"name": "flatten"}),
        ("Dense", {"name": "dense1", "output_dim": 7, "activation": "relu", "bias": True}),
        ("Dropout", {"name": "dropout", "p": 0.5}),
        ("Dense", {"name": "dense2", "output_dim": 4, "activation": "softmax", "bias": True}),
    ]
    with file("keras1-theano.h5") as h:
        h.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [{"class_name": c, "config": s} for c, s in layers1]})
        legacy(h.create_group("model_weights"), th, layers1, names1)
    with file("keras3.weights.h5") as h:
        numbered(h, p, chunks=True, compression="gzip", shuffle=True, fletcher32=True)
    with file("keras3-latest.weights.h5", libver="latest") as h:
        numbered(h, p)
    layers3 = [(c, {("batch_shape" if k == "batch_input_shape" else k): v for k, v in s.items()}) for c, s in LAYERS2]
    archive("keras3.keras", sequential(layers3), p)
    archive("keras3-tf213.keras", sequential(layers3), p, layers="_layer_checkpoint_dependencies")
    for without, left in [("scale", [1, 2, 3]), ("center", [0, 2, 3])]:
        golden[without] = [forward(x, p, without).tolist() for x in pictures.astype(np.float64)]
        some = {**p, "bn": [p["bn"][i] for i in left]}
        archive(f"keras3-no-{without}.keras", sequential(changed(layers3, ["BatchNormalization"], **{without: False})), some)
    # a model in a model: the convolutions are a Functional one of their own
    base, head = layers3[:7], layers3[7:]
    inside = functional(base)["config"]
    inside["name"] = "base"
    nested = sequential([layers3[0], ("Functional", inside)] + head)
    archive("keras3-nested.keras", nested, p, names={**NUMBERED, **{k: "functional/layers/" + NUMBERED[k] for k in ["conv1", "conv2", "bn"]}})
    with file("keras2-nested.h5") as h:  # in Keras 2 all arrays of the inner model lie in its group, those that are trained first
        h.attrs["backend"], h.attrs["model_config"] = "tensorflow", json.dumps(nested)
        g = h.create_group("model_weights")
        legacy(g, p, [("Functional", {"name": "base"})] + head, NAMES)
        inner = [f"{k}/{n}" for part in (slice(0, 2), slice(2, 4)) for k in ["conv1", "bn", "conv2"] for n in NAMES[k][part]]
        for i in range(0, len(inner), 3):
            g["base"].attrs[f"weight_names{i // 3}"] = texts(inner[i : i + 3])
        del g["base"].attrs["weight_names"]
        for n in inner:
            layer, array = n.split("/")
            g["base"].create_dataset(n, data=p[layer][NAMES[layer].index(array)])
    # two models in the model, whose convolutions have one name; and a model of a single layer
    alike = lambda layers, name: ("Functional", {**functional([(c, {**s, "name": "conv" if c == "Conv2D" else s["name"]}) for c, s in layers])["config"], "name": name})
    head = [sequential([layers3[8]])["config"], *layers3[9:]]
    twins = sequential([alike(layers3[:3], "one"), alike([("InputLayer", {"batch_shape": [None, H, W, 5], "name": "input_2"})] + layers3[3:7], "two"), layers3[7],
                        ("Sequential", {**head[0], "name": "three"})] + head[1:])
    with file("keras2-twins.h5") as h:
        h.attrs["backend"], h.attrs["model_config"] = "tensorflow", json.dumps(twins)
        g = h.create_group("model_weights")
        g.attrs["layer_names"] = texts(["one", "two", "flatten", "three", "dropout", "dense2"])
        for group, arrays in {
            "one": [(f"conv/{n}", p["conv1"][i]) for i, n in enumerate(NAMES["conv1"])] + [(f"bn/{n}", p["bn"][i]) for i, n in enumerate(NAMES["bn"])],
            "two": [(f"conv/{n}", p["conv2"][i]) for i, n in enumerate(NAMES["conv2"])], "flatten": [],
            "three": [(f"dense1/{n}", p["dense1"][i]) for i, n in enumerate(NAMES["dense1"])], "dropout": [],
            "dense2": [(f"dense2/{n}", p["dense2"][i]) for i, n in enumerate(NAMES["dense2"])],
        }.items():
            g.create_group(group).attrs["weight_names"] = texts([n for n, _ in arrays])
            for n, v in arrays:
                g[group].create_dataset(n, data=v)
    # the largest value of each whole map
    few = {**p, "dense2": [p["dense2"][0][:6], p["dense2"][1]]}
    golden["max"] = [forward(x, few, whole=True).tolist() for x in pictures.astype(np.float64)]
    whole = layers3[:7] + [("GlobalMaxPooling2D", {"name": "global_max_pooling2d", "data_format": "channels_last", "keepdims": False}), layers3[10]]
    names = {**{k: NUMBERED[k] for k in ["conv1", "conv2", "bn"]}, "dense2": "dense"}
    archive("keras3-global-max.keras", sequential(whole), few, names=names)
    archive("keras3-open.keras", sequential(changed(whole, ["InputLayer"], batch_shape=[None, None, None, 3])), few, names=names)
    # channels first: kernels lie as ever, and Flatten moves the channels to the end
    first = [(c, {**s, **({"data_format": "channels_first"} if c in ("Conv2D", "ZeroPadding2D", "MaxPooling2D", "Flatten") else {})}) for c, s in LAYERS2]
    first = changed(changed(first, ["BatchNormalization"], axis=[1]), ["InputLayer"], batch_input_shape=[None, 3, H, W])
    with file("keras2-first.h5") as h:
        h.attrs["backend"], h.attrs["model_config"] = "tensorflow", json.dumps(sequential(first))
        legacy(h.create_group("model_weights"), p, first, NAMES)
    # Keras 2 on Theano: kernels lie as TensorFlow's do and are turned
    with file("keras2-theano.h5") as h:
        h.attrs["backend"], h.attrs["model_config"] = "theano", json.dumps(sequential(LAYERS2))
        turned = {k: [v[0][::-1, ::-1], v[1]] if k.startswith("conv") else v for k, v in p.items()}
        legacy(h.create_group("model_weights"), turned, LAYERS2, NAMES)
    # Keras 3's own .h5: paths as names, its way to say what a layer reads
    with file("keras3.h5") as h:
        config = functional(layers3)
        for before, layer in zip(layers3, config["config"]["layers"][1:]):
            history = {"class_name": "__keras_tensor__", "config": {"shape": [None], "dtype": "float32", "keras_history": [before[1]["name"], 0, 0]}}
            layer["inbound_nodes"] = [{"args": [history], "kwargs": {}}]
        config["config"]["input_layers"], config["config"]["output_layers"] = ["input_1", 0, 0], ["dense2", 0, 0]
        h.attrs["backend"], h.attrs["model_config"] = "tensorflow", json.dumps(config)
        g = h.create_group("model_weights")
        g.attrs["layer_names"] = texts([s["name"] for _, s in layers3])
        for _, s in layers3:
            arrays = [f"model/{s['name']}/{n[:-2]}" for n in NAMES.get(s["name"], [])]
            g.create_group(s["name"]).attrs["weight_names"] = texts(arrays)
            for n, v in zip(arrays, p.get(s["name"], [])):
                g[s["name"]].create_dataset(n, data=v)
    golden["vgg"] = small_vgg()
    with open(os.path.join(OUT, "golden.json"), "w") as f:
        json.dump(golden, f)


def values():
    """Shapes and weighted sums of every array of numbers, as TestKerasFiles takes them."""
    golden = {}
    folder = os.path.join(os.environ["VGGO_TESTDATA"], "weights", "keras")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".h5"):
            continue
        arrays = golden[name] = {}

        def visit(path, o):
            if isinstance(o, h5py.Dataset) and not path.startswith("optimizer"):
                v = o[()].astype(np.float64).reshape(-1)
                weight = np.arange(v.size) % 7 + 1
                arrays[path.removeprefix("model_weights/")] = {"shape": list(o.shape), "sum": float((v * weight).sum()), "abs": float((abs(v) * weight).sum())}

        with h5py.File(os.path.join(folder, name), "r") as h:
            h.visititems(visit)
    with open(os.path.join(OUT, "values.json"), "w") as f:
        json.dump({"arrays": golden, "mnist": mnist(folder)}, f, indent=1)


def small_vgg():
    """VGG-16 as Keras publishes it, with few channels: names, layouts, BGR. Its picture is a formula's, RGB, for the caller to make too."""
    r = np.random.RandomState(6)
    f = lambda *shape: (r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(np.float32)
    side, channels = 64, [4, 6, 8, 8, 8]
    row, column, rgb = np.indices((side, side, 3))
    x = ((7 * rgb + 3 * row + 5 * column) % 11 / 11 - 0.5)[:, :, ::-1]  # the network reads BGR
    with h5py.File(os.path.join(OUT, "vgg16-small.h5"), "w") as h:
        names = []

        def add(layer, *arrays):
            names.append(layer)
            g = h.create_group(layer)
            g.attrs["weight_names"] = texts([f"{layer}_{'Wb'[i]}_1:0" for i in range(len(arrays))])
            for i, v in enumerate(arrays):
                g.create_dataset(f"{layer}_{'Wb'[i]}_1:0", data=v)

        for block, (convs, out) in enumerate(zip([2, 2, 3, 3, 3], channels), 1):
            for i in range(1, convs + 1):
                k, b = f(3, 3, x.shape[2], out), f(out) / 4
                add(f"block{block}_conv{i}", k, b)
                x = np.maximum(conv(x, k, b, ((1, 1), (1, 1))), 0)
            add(f"block{block}_pool")
            x = pool(x)
        add("flatten")
        x = x.reshape(-1)
        for layer, out in [("fc1", 10), ("fc2", 9), ("predictions", 7)]:
            k, b = f(len(x), out), f(out) / 4
            add(layer, k, b)
            x = x @ k + b
            if layer != "predictions":
                x = np.maximum(x, 0)
        h.attrs["layer_names"] = texts(names)
    return x.tolist()


def mnist(folder):
    """What mnist_cnn_99.20 makes of three pictures by formula. Keras 1 on Theano: kernels out,in,rows,columns and turned; maps C,H,W."""
    with h5py.File(os.path.join(folder, "mnist_cnn_99.20.h5"), "r") as h:
        get = lambda layer: (h[layer][layer + "_W"][()].astype(np.float64), h[layer][layer + "_b"][()])
        logits = []
        for n in range(3):
            row, column = np.indices((28, 28))
            x = ((row * (n + 3) + column * (n + 5)) % 17 / 16)[:, :, None]
            for layer in ["convolution2d_1", "convolution2d_2"]:
                k, b = get(layer)
                x = np.maximum(conv(x, k.transpose(2, 3, 1, 0)[::-1, ::-1], b, ((0, 0), (0, 0))), 0)
            x = x.reshape(12, 2, 12, 2, 32).mean((1, 3)).transpose(2, 0, 1).reshape(-1)
            k, b = get("dense_1")
            x = np.maximum(x @ k + b, 0)
            k, b = get("dense_2")
            logits.append((x @ k + b).tolist())
    return logits


def vgg16(path):
    """The published file was converted from Keras 1's: its arrays are called block1_conv1_W_1:0 in groups block1_conv1."""
    r, blocks, size = np.random.default_rng(1), [2, 2, 3, 3, 3], 3
    shapes = {}
    for block, convs in enumerate(blocks, 1):
        for i in range(1, convs + 1):
            out = min(64 << (block - 1), 512)
            shapes[f"block{block}_conv{i}"] = (3, 3, size, out)
            size = out
        shapes[f"block{block}_pool"] = None
    shapes["flatten"] = None
    shapes |= {"fc1": (25088, 4096), "fc2": (4096, 4096), "predictions": (4096, 1000)}
    with h5py.File(path, "w") as h:
        h.attrs["layer_names"] = texts(list(shapes))
        for layer, shape in shapes.items():
            g = h.create_group(layer)
            g.attrs["weight_names"] = texts([f"{layer}_W_1:0", f"{layer}_b_1:0"] if shape else [])
            if shape:
                g.create_dataset(f"{layer}_W_1:0", data=r.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:-1]))))
                g.create_dataset(f"{layer}_b_1:0", data=np.zeros(shape[-1], np.float32))


if __name__ == "__main__":
    if sys.argv[1:2] == ["vgg16"]:
        vgg16(sys.argv[2])
        sys.exit()
    main()
    if "VGGO_TESTDATA" in os.environ:
        values()
