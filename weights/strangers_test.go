package weights

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStrangers: a file of a format that is not read is named by what it holds, and by its name where that says
// nothing. What is read is read under any name.
func TestStrangers(t *testing.T) {
	table := append(make([]byte, 40), binary.LittleEndian.AppendUint64(nil, 0xdb4775248b80fb57)...)
	tar := string(make([]byte, 257)) + "ustar\x0000"
	for _, c := range []struct{ name, content, reason string }{
		{"a.bin", string(table), "the checksum of a block"},
		{"model.ckpt.data-00000-of-00001", "abcd", "its .index, which tells what they are, must lie beside them"},
		{"model.ckpt", "abcd", "no checkpoint of TensorFlow's, or one that is cut off"},
		{"model.ckpt.index", "abcd", "no checkpoint of TensorFlow's, or one that is cut off"},
		{"x", "model_checkpoint_path: \"model.ckpt\"\n", "name the folder that it lies in"},
		{"x.caffemodel", "abcd", "no model of Caffe's"},
		{"x", "GGUF\x03", "llama.cpp"}, {"x", "RKNN", "Rockchip"}, {"x", "ftrt", "a TensorRT engine"},
		{"x.plan", "x", "TensorRT"},
		{"x.param", "7767517\n75 83\n", "ncnn"}, {"x.param.bin", "\xdd\x85\x76\x00", "ncnn"}, {"x.mnn", "x", "MNN"},
		{"x.mlmodel", "\x08\x04\x12\x02\x0a\x00", "Core ML"}, {"x.ort", "\x00\x00\x00\x00ORTM", "ONNX Runtime"},
		{"x.xml", "<?xml version=\"1.0\"?>\n<net name=\"vgg16\">", "OpenVINO"}, {"x.pdiparams", "x", "paddle2onnx"},
		{"x.t7", "4\n1\n3\nV 1\n", "torch.load(path, 'ascii')"}, {"x.weights", "x", "Darknet"},
		{"x.pb", "abcd", "no graph of TensorFlow's"},
		{"x", "\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"},
		{"x.mat", "\x00\x00\x00\x00", "no MATLAB file of version 5 or 7.3"},
		{"x.pth", "\x1f\x8b\x08", "gunzip"},
		{"x.pth.tar", tar, "a tar archive"},
		{"x.pth", "<!DOCTYPE html>", "a web page"},
		{"x.json", "{}", "JSON"},
		{"x.pth", "something", "no format that vggo reads"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
	}
	data, err := os.ReadFile("testdata/checkpoints/scalars.pth")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"last.ckpt", "checkpoint", "x.pb", "x.caffemodel", "x.h5", "x", "x.pth.tar"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if f := open(t, path); f.Format != "PyTorch" {
			t.Errorf("%s: format %s", name, f.Format)
		}
	}
}
