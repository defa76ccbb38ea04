"""Writes torchvision's VGG-16 with seeded random weights as ONNX (opset 13, any batch). usage: export_vgg16.py FILE"""
import sys

import torch
import torchvision

torch.manual_seed(0)
model = torchvision.models.vgg16(weights=None).eval()
torch.onnx.export(model, torch.randn(1, 3, 224, 224), sys.argv[1], input_names=["images"], output_names=["logits"],
                  dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}}, opset_version=13)
