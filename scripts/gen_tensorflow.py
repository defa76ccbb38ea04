#!/usr/bin/python3
"""Writes weights/testdata/formats/tf-*: what TensorFlow's programs write, byte for byte by its formats' descriptions,
since TensorFlow itself is on few machines: checkpoints of both editions, a frozen graph, a SavedModel, and graph-models
of TensorFlow.js as its converter writes them, whose answers run_tfjs.js computes.

The checkpoints are of the network 8x8x3:2,M,2,M/3,2, whose values tf.json has in PyTorch's order. The graphs are of
the network of gen_formats.py, whose values and answer golden.json has.

  /usr/bin/python3 scripts/gen_tensorflow.py
"""
import base64
import json
import os
import struct

import numpy as np

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "formats")
f4 = np.float32
random = np.random.default_rng(19)


def write(name, data):
    path = os.path.join(OUT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


# --- protocol buffers ------------------------------------------------------------------------------------------------

def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, v):
    if isinstance(v, (bool, int)):
        return varint(number << 3) + varint(int(v))
    if isinstance(v, float):
        return varint(number << 3 | 5) + struct.pack("<f", v)
    if isinstance(v, str):
        v = v.encode()
    return varint(number << 3 | 2) + varint(len(v)) + v


def message(*fields):
    return b"".join(field(number, v) for number, v in fields)


def shape(dims):
    return message(*[(2, message((1, int(d)))) for d in dims])


DT = {"float32": 1, "int32": 3, "int64": 9}

# --- tables ----------------------------------------------------------------------------------------------------------

TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
    TABLE.append(i)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 255]
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def snappy(data):
    """Zeros become copies, all else literals."""
    out, at = varint(len(data)), 0
    while at < len(data):
        run = 0
        while at and run < 64 and at + run < len(data) and data[at + run] == data[at - 1]:
            run += 1
        if run >= 4:
            out += bytes([(run - 1) << 2 | 2]) + struct.pack("<H", 1)
            at += run
            continue
        out += bytes([0, data[at]])
        at += 1
    return out


def block(entries, restart=16):
    out, restarts, before = b"", [], b""
    for i, (key, value) in enumerate(entries):
        shared = 0
        if i % restart == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + struct.pack("<%dI" % (len(restarts) + 1), *restarts, len(restarts))


def table(items, size=4096):
    """Blocks of about size bytes; one that snappy makes an eighth shorter is packed, as LevelDB does it."""
    out, index, entries = b"", [], []

    def put(data, pack=True):
        nonlocal out
        kind, packed = 0, snappy(data) if pack else data
        if len(packed) < len(data) - len(data) // 8:
            kind, data = 1, packed
        handle = varint(len(out)) + varint(len(data))
        out += data + bytes([kind]) + struct.pack("<I", masked(crc32c(bytes([kind]), crc32c(data))))
        return handle

    items = sorted(items.items())
    for i, item in enumerate(items):
        entries.append(item)
        if sum(len(k) + len(v) for k, v in entries) >= size or i == len(items) - 1:
            index.append((entries[-1][0], put(block(entries))))
            entries = []
    meta = put(block([]), False)
    footer = meta + put(block(index, 1), False)
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


# --- checkpoints -----------------------------------------------------------------------------------------------------

def v1(variables):
    metas, items = [], {}
    for name, a in sorted(variables.items()):
        whole = message(*[(1, b"")] * a.ndim)
        metas.append((1, message((1, name), (2, shape(a.shape)), (3, DT[str(a.dtype)]), (4, whole))))
        if a.dtype == f4:
            data = message((5, a.tobytes()))
        else:
            data = message((10, b"".join(varint(int(v)) for v in a.flat)))
        key = b"\x00" + name.encode() + b"\x00\x01" + bytes([1, a.ndim]) + b"\x80\x7f" * a.ndim
        items[key] = message((2, message((1, name), (2, whole), (3, data))))
    items[b""] = message((1, message(*metas)))
    return table(items, 600)


def v2(prefix, variables, shards=1, graph=None):
    data, items = [b""] * shards, {b"": message((1, shards), (3, message((1, 1))))}
    for i, (name, a) in enumerate(sorted(variables.items())):
        raw, at = a.tobytes(), i % shards
        items[name.encode()] = message((1, DT[str(a.dtype)]), (2, shape(a.shape)), (3, at), (4, len(data[at])), (5, len(raw))) + \
            varint(6 << 3 | 5) + struct.pack("<I", masked(crc32c(raw)))
        data[at] += raw
    if graph is not None:
        sum_ = struct.pack("<I", masked(crc32c(struct.pack("<I", len(graph)))))
        crc = crc32c(graph, crc32c(sum_, crc32c(struct.pack("<I", len(graph)))))
        raw = varint(len(graph)) + sum_ + graph
        items[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = message((1, 7), (2, b""), (4, len(data[0])), (5, len(raw))) + \
            varint(6 << 3 | 5) + struct.pack("<I", masked(crc))
        data[0] += raw
    write(prefix + ".index", table(items, 600))
    for i, raw in enumerate(data):
        write("%s.data-%05d-of-%05d" % (prefix, i, shards), raw)


def checkpoints():
    layers = [("conv1_1", (2, 3, 3, 3)), ("conv2_1", (2, 2, 3, 3)), ("fc6", (3, 8)), ("fc7", (2, 3))]
    ours, theirs = {}, {}
    for name, dims in layers:
        w, b = random.standard_normal(dims).astype(f4), random.standard_normal(dims[0]).astype(f4)
        ours[name + "/w"], ours[name + "/b"] = w.flatten().tolist(), b.tolist()
        if name == "fc6":
            w = w.reshape(3, 2, 2, 2)
        theirs[name] = (np.ascontiguousarray(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T), b)
    slim, article, keras, full = {}, {}, {}, {}
    for i, (name, (w, b)) in enumerate(theirs.items()):
        conv = name.startswith("conv")
        scope = "vgg_16/" + (name[:5] + "/" if conv else "") + name
        slim[scope + "/weights"] = w if w.ndim == 4 else w[None, None]
        slim[scope + "/biases"] = b
        flat = w if conv else w.reshape(-1, w.shape[-1])
        article[name + "/w"], article[name + "/b"] = flat, b
        keras["layer_with_weights-%d/kernel" % i], keras["layer_with_weights-%d/bias" % i] = flat, b
        word = "block%s_conv%s" % (name[4], name[6]) if conv else name
        full["layer_with_weights-%d/kernel" % i], full["layer_with_weights-%d/bias" % i] = word + "/kernel", word + "/bias"
    with_slots = dict(slim)
    for name, a in slim.items():
        with_slots[name + "/Momentum"] = np.zeros_like(a)
    with_slots["global_step"] = np.array(1000, np.int64)
    with_slots["vgg_16/mean_rgb"] = np.array([123.68, 116.78, 103.94], f4)
    write("tf-slim.ckpt", v1(with_slots))
    with_slots = dict(article)
    for name, a in article.items():
        with_slots[name + "/Adam"], with_slots[name + "/Adam_1"] = a * f4(0.5), a * a
        with_slots[name + "/ExponentialMovingAverage"] = a + f4(1)
    with_slots["beta1_power"] = np.array(0.9, f4)
    v2("tf-article.ckpt", with_slots, shards=2)
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    variables = {name + end: a for name, a in keras.items()}
    for name in keras:
        variables[name + "/.OPTIMIZER_SLOT/optimizer/m" + end] = keras[name] * f4(2)
    variables["save_counter" + end] = np.array(1, np.int64)
    variables["optimizer/iter" + end] = np.array(7, np.int64)
    nodes = [(1, message((2, message((1, "VARIABLE_VALUE"), (2, full.get(name[:-len(end)], name)), (3, name)))))
             for name in sorted(variables)]
    v2("tf-keras", variables, graph=message(*nodes))
    with open(os.path.join(OUT, "tf.json"), "w") as f:
        json.dump(ours, f)
        f.write("\n")


# --- graphs ----------------------------------------------------------------------------------------------------------

def node(name, op, inputs=(), **attrs):
    return message((1, name), (2, op), *[(3, i) for i in inputs],
                   *[(5, message((1, key), (2, v))) for key, v in attrs.items()])


text = lambda s: message((2, s))
kind = lambda n: message((6, n))
yes = lambda b: message((5, bool(b)))
ints = lambda *list_: message((1, message((3, b"".join(varint(v) for v in list_)))))


def const(name, a):
    a = np.asarray(a)
    content = message((1, DT[str(a.dtype)]), (2, shape(a.shape)), (4, a.tobytes()))
    return node(name, "Const", dtype=kind(DT[str(a.dtype)]), value=message((8, content)))


def layers(read, x, flat="flat/shape"):
    """The nodes of the network, which reads variables as read tells; x is its input."""
    window = dict(data_format=text("NHWC"), padding=text("SAME"))
    return [
        node("conv1/conv", "Conv2D", [x, read("conv1/w")], strides=ints(1, 1, 1, 1), **window),
        node("conv1/bias", "BiasAdd", ["conv1/conv", read("conv1/b")]),
        node("bn1", "FusedBatchNormV3", ["conv1/bias"] + [read(k) for k in ("gamma", "beta", "mean", "variance")],
             epsilon=message((4, 1e-3)), is_training=yes(False), data_format=text("NHWC")),
        node("relu1", "Relu", ["bn1"]),
        node("pool1", "MaxPool", ["relu1"], ksize=ints(1, 2, 2, 1), strides=ints(1, 2, 2, 1), **window),
        node("conv2/conv", "Conv2D", ["pool1", read("conv2/w")], strides=ints(1, 2, 2, 1), **window),
        node("conv2/bias", "BiasAdd", ["conv2/conv", read("conv2/b")]),
        node("relu2", "Relu", ["conv2/bias"]),
        node("flat", "Reshape", ["relu2", flat]),
        node("fc1/matmul", "MatMul", ["flat", read("fc1/w")], transpose_a=yes(False), transpose_b=yes(False)),
        node("fc1/add", "AddV2", ["fc1/matmul", read("fc1/b")]),
        node("relu3", "Relu", ["fc1/add"]),
        node("fc2/matmul", "MatMul", ["relu3", read("fc2/w")]),
        node("fc2/bias", "BiasAdd", ["fc2/matmul", read("fc2/b")]),
        node("prob", "Softmax", ["fc2/bias"]),
    ]


def graph_variables():
    """What gen_formats.py's network has, in TensorFlow's order."""
    with open(os.path.join(OUT, "golden.json")) as f:
        values = json.load(f)["values"]
    dims = {"conv1/w": (4, 3, 3, 3), "conv2/w": (6, 2, 3, 3), "fc1/w": (7, 6, 3, 3), "fc2/w": (5, 7)}
    variables = {}
    for name, v in values.items():
        a = np.array(v, f4)
        if name == "deviation":
            name, a = "variance", (a.astype(np.float64) ** 2 - 1e-3).astype(f4)
        if name in dims:
            a = a.reshape(dims[name])
        if name == "conv2/w":  # of two groups, which a graph says by zeros
            zero = np.zeros_like(a[:3])
            a = np.concatenate([np.concatenate([a[:3], zero], 1), np.concatenate([zero, a[3:]], 1)])
        if name in dims:
            a = np.ascontiguousarray(a.transpose(2, 3, 1, 0) if a.ndim == 4 else a.T)
        variables[name] = a.reshape(54, 7) if name == "fc1/w" else a
    return variables


def graphs():
    variables = graph_variables()
    picture = node("images", "Placeholder", dtype=kind(1), shape=message((7, shape((-1, 9, 9, 3)))))
    flat = const("flat/shape", np.array([-1, 54], np.int32))
    frozen = [picture, flat] + [const(name, a) for name, a in variables.items()]
    frozen += [node(name + "/read", "Identity", [name], T=kind(1)) for name in variables]
    frozen += layers(lambda name: name + "/read", "images")
    frozen += [node("classes/axis", "Const", dtype=kind(3), value=message((8, message((1, 3), (2, b""), (7, b"\x01"))))),
               node("classes", "ArgMax", ["prob", "classes/axis"])]
    write("tf-frozen.pb", message(*[(1, n) for n in frozen]))

    # A SavedModel of TensorFlow 2: a signature's function calls the model's.
    names = sorted(variables)
    arg = lambda name: name.replace("/", "_")
    model = [node(arg(name) + "/Read", "ReadVariableOp", [arg(name)], dtype=kind(1)) for name in names]
    # in a function a value is named with its operation's output
    output = {"Conv2D": "output:0", "FusedBatchNormV3": "y:0", "Relu": "activations:0", "BiasAdd": "output:0"}
    inner = [flat] + layers(lambda name: arg(name) + "/Read:value:0", "images", "flat/shape:output:0")
    signature = lambda name: message((1, name), (2, message((1, "images"))), *[(2, message((1, arg(n)))) for n in names],
                                     (3, message((1, "out"))))
    wrapper = [node("call", "StatefulPartitionedCall", ["images"] + [arg(n) for n in names],
                    f=message((10, message((1, "model"))))),
               node("Identity", "Identity", ["call:output:0"])]
    functions = [
        message((1, signature("model")), *[(3, n) for n in model + inner], (4, message((1, "out"), (2, "prob:softmax:0")))),
        message((1, signature("wrapper")), *[(3, n) for n in wrapper], (4, message((1, "out"), (2, "Identity:output:0")))),
    ]
    top = [node("serving_images", "Placeholder", dtype=kind(1), shape=message((7, shape((-1, 9, 9, 3)))))]
    top += [node("handle_" + arg(n), "VarHandleOp", dtype=kind(1), shared_name=text(n)) for n in names]
    top += [node("StatefulPartitionedCall", "StatefulPartitionedCall", ["serving_images"] + ["handle_" + arg(n) for n in names],
                 f=message((10, message((1, "wrapper")))))]
    graph = message(*[(1, n) for n in top], (2, message(*[(1, f) for f in functions])))
    info = lambda key, name: message((1, key), (2, message((1, name))))
    serving = message((1, message((1, "images"), (2, message((1, "serving_images:0"))))),
                      (2, info("out", "StatefulPartitionedCall:0")))
    meta = message((1, message((4, "serve"))), (2, graph), (5, message((1, "serving_default"), (2, serving))))
    write("tf-saved/saved_model.pb", message((1, 1), (2, meta)))
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    keys = {n: "variables/%d%s" % (i, end) for i, n in enumerate(names)}
    nodes = [(1, message((2, message((1, "VARIABLE_VALUE"), (2, n), (3, keys[n]))))) for n in names]
    v2("tf-saved/variables/variables", {keys[n]: variables[n] for n in names}, graph=message(*nodes))


def prepared():
    """Graphs that prepare their pictures, as programs do it, then average the map and multiply by a matrix."""
    rgb = [123.68, 116.779, 103.939]
    floats = lambda *v: np.array(v, f4)
    whole = lambda *v: np.array(v, np.int32)
    mean = lambda name, v: node(name, "Const", dtype=kind(1), value=message((8, message((1, 1), (2, b""), (5, struct.pack("<f", v))))))
    axis = const("axis", np.array(3, np.int32))
    ways = {
        # machrisaa/tensorflow-vgg, vgg16.py
        "split": [mean("scale", 255.0), node("scaled", "Mul", ["images", "scale"]), axis,
                  node("split", "Split", ["axis", "scaled"], num_split=message((3, 3)))] +
                 [mean("mean%d" % i, rgb[i]) for i in range(3)] +
                 [node("sub%d" % i, "Sub", ["split:%d" % i if i else "split", "mean%d" % i]) for i in range(3)] +
                 [node("prepared", "ConcatV2", ["sub2", "sub1", "sub0", "axis"], N=message((3, 3)))],
        "reverse": [const("axes", whole(-1)), node("turned", "ReverseV2", ["images", "axes"]),
                    const("mean", floats(*rgb[::-1])), node("prepared", "Sub", ["turned", "mean"])],
        # keras.applications' preprocess_input in a model
        "slice": [const("begin", whole(0, 0)), const("end", whole(0, 0)), const("steps", whole(1, -1)),
                  node("turned", "StridedSlice", ["images", "begin", "end", "steps"], begin_mask=message((3, 2)),
                       end_mask=message((3, 2)), ellipsis_mask=message((3, 1))),
                  const("mean", -floats(*rgb[::-1])), node("prepared", "BiasAdd", ["turned", "mean"])],
        "mean": [const("mean", floats(*rgb)), node("prepared", "Sub", ["images", "mean"])],
        "blue": [const("mean", floats(*rgb[::-1])), node("prepared", "Sub", ["images", "mean"])],
    }
    w = np.array([[1, 2], [4, 8], [16, 32]], f4)
    for name, way in ways.items():
        nodes = [node("images", "Placeholder", dtype=kind(1), shape=message((7, shape((-1, 4, 4, 3)))))] + way + [
            const("pixels", whole(1, 2)), node("average", "Mean", ["prepared", "pixels"], keep_dims=yes(False)),
            const("fc/w", w), node("fc", "MatMul", ["average", "fc/w"])]
        write("tf-prepared-%s.pb" % name, message(*[(1, n) for n in nodes]))


# --- TensorFlow.js ---------------------------------------------------------------------------------------------------

def stored(a, how):
    """A tensor's bytes in a shard, and what the manifest says of them (tensorflowjs/quantization.py)."""
    if how == "float32" or a.dtype != f4:
        return a.tobytes(), None
    if how == "float16":
        return a.astype(np.float16).tobytes(), {"dtype": how}
    top = np.iinfo(how).max
    low, high = float(a.min()), float(a.max())
    scale = (high - low) / top or 1.0
    low = round(low / scale) * scale if low <= 0 <= high else low
    return np.round((a.astype(np.float64) - low) / scale).clip(0, top).astype(how).tobytes(), \
        {"dtype": how, "scale": scale, "min": low}


def graph_models():
    variables = dict(graph_variables(), **{"flat/shape": np.array([-1, 54], np.int32)})
    b64 = lambda s: base64.b64encode(s.encode()).decode()
    dims = lambda list_: {"dim": [{"size": str(d)} for d in list_]}
    types = {"float32": "DT_FLOAT", "int32": "DT_INT32"}
    attrs = {"T": {"type": "DT_FLOAT"}}
    slide = lambda *list_: {"list": {"i": [str(i) for i in list_]}}
    window = dict(attrs, data_format={"s": b64("NHWC")}, padding={"s": b64("SAME")}, dilations=slide(1, 1, 1, 1),
                  explicit_paddings={"list": {}})
    fused = lambda *ops: dict(fused_ops={"list": {"s": [b64(op) for op in ops]}}, num_args={"i": "1"}, epsilon={"f": 0.0})
    product = dict(attrs, transpose_a={"b": False}, transpose_b={"b": False})
    nodes = [("images", "Placeholder", [], dict(dtype={"type": "DT_FLOAT"}, shape={"shape": dims((-1, 9, 9, 3))}))]
    nodes += [(name, "Const", [], dict(dtype={"type": types[str(a.dtype)]}, value={"tensor": {
        "dtype": types[str(a.dtype)], "tensorShape": dims(a.shape)}})) for name, a in variables.items()]
    nodes += [
        ("bias1", "_FusedConv2D", ["images", "conv1/w", "conv1/b"], dict(window, strides=slide(1, 1, 1, 1), **fused("BiasAdd"))),
        ("bn1", "FusedBatchNormV3", ["bias1", "gamma", "beta", "mean", "variance"],
         dict(attrs, epsilon={"f": 0.001}, is_training={"b": False}, data_format={"s": b64("NHWC")})),
        ("relu1", "Relu", ["bn1"], attrs),
        ("pool1", "MaxPool", ["relu1"], dict(window, ksize=slide(1, 2, 2, 1), strides=slide(1, 2, 2, 1))),
        ("relu2", "_FusedConv2D", ["pool1", "conv2/w", "conv2/b"],
         dict(window, strides=slide(1, 2, 2, 1), **fused("BiasAdd", "Relu"))),
        ("flat", "Reshape", ["relu2", "flat/shape"], attrs),
        ("relu3", "_FusedMatMul", ["flat", "fc1/w", "fc1/b"], dict(product, **fused("BiasAdd", "Relu"))),
        ("fc2", "MatMul", ["relu3", "fc2/w"], product),
        ("logits", "BiasAdd", ["fc2", "fc2/b"], dict(attrs, data_format={"s": b64("NHWC")})),
        ("prob", "Softmax", ["logits"], attrs),
        ("Identity", "Identity", ["prob"], attrs),
    ]
    topology = {"node": [dict(name=n, op=op, **({"input": inputs} if inputs else {}), attr=a) for n, op, inputs, a in nodes],
                "library": {}, "versions": {"producer": 1994}}
    info = lambda name, *side: {"name": name, "dtype": "DT_FLOAT", "tensorShape": dims((-1,) + side)}
    signature = {"inputs": {"images": info("images:0", 9, 9, 3)}, "outputs": {"prob": info("Identity:0", 5)}}
    for how in ("float32", "float16", "uint16", "uint8"):
        specs, data = [], b""
        for name, a in variables.items():
            raw, quantised = stored(np.ascontiguousarray(a), how)
            specs.append(dict(name=name, shape=list(a.shape), dtype=str(a.dtype), **({"quantization": quantised} if quantised else {})))
            data += raw
        half = len(data) // 2 + 1  # within a number
        shards = {"%s-shard1of2.bin" % how: data[:half], "%s-shard2of2.bin" % how: data[half:]}
        for name, raw in shards.items():
            write("tfjs-graph/" + name, raw)
        text = json.dumps({"format": "graph-model", "generatedBy": "2.12.0", "convertedBy": "TensorFlow.js Converter v4.4.0",
                           "signature": signature, "modelTopology": topology,
                           "weightsManifest": [{"paths": list(shards), "weights": specs}]})
        write("tfjs-graph/%s.json" % how, text.encode() + b"\n")


checkpoints()
graphs()
prepared()
graph_models()
