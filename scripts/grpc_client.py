#!/usr/bin/env python3
"""Asks a server of the Open Inference Protocol over gRPC, by Debian's python3-grpcio and python3-protobuf.

    scripts/grpc_client.py ADDRESS MODEL SHAPE raw|typed < little-endian float32

prints the outputs' values in hexadecimal, as they are in memory. SHAPE is a JSON list. The messages are those that
serve/inference.binpb describes. First every other call of the protocol must be answered, and gRPC's own probe.
"""

import json
import os
import struct
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"


def classes():
    files = descriptor_pb2.FileDescriptorSet()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "serve", "inference.binpb")
    with open(path, "rb") as f:
        files.ParseFromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName("inference." + name))


def main():
    address, model, shape, how = sys.argv[1:]
    data = sys.stdin.buffer.read()
    message = classes()
    with grpc.insecure_channel(address) as channel:

        def call(method, request):
            answer = message(method + "Response")
            return channel.unary_unary(f"/{SERVICE}/{method}", request_serializer=lambda m: m.SerializeToString(),
                                       response_deserializer=answer.FromString)(request, timeout=30)

        assert call("ServerLive", message("ServerLiveRequest")()).live
        assert call("ServerReady", message("ServerReadyRequest")()).ready
        assert call("ServerMetadata", message("ServerMetadataRequest")()).name
        assert call("ModelReady", message("ModelReadyRequest")(name=model)).ready
        assert call("ModelMetadata", message("ModelMetadataRequest")(name=model)).inputs[0].name == "images"
        # HealthCheckRequest of no service; SERVING is 1 in field 1
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30) == b"\x08\x01"

        request = message("ModelInferRequest")(model_name=model)
        tensor = request.inputs.add(name="images", datatype="FP32", shape=json.loads(shape))
        if how == "raw":
            request.raw_input_contents.append(data)
        else:
            tensor.contents.fp32_contents.extend(struct.unpack(f"<{len(data) // 4}f", data))
        answer = call("ModelInfer", request)
        if how == "raw":
            outputs = list(answer.raw_output_contents)
        else:
            outputs = [struct.pack(f"<{len(o.contents.fp32_contents)}f", *o.contents.fp32_contents)
                       for o in answer.outputs]
        print(b"".join(outputs).hex())


if __name__ == "__main__":
    main()
