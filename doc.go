// Package vggo is VGG on an ordinary computer: understood, run and timed from one Go program, without cgo.
//
// Open makes a Model of a file of weights; Model.Classify says what is in a picture, Model.Features what a layer makes
// of it.
//
// Its work is done in the packages below this one: arch holds a network as data and works out what every layer produces
// and costs, tensor holds images and feature maps, nn runs a network forward and backward, weights reads and writes
// files of parameters, vision turns pictures into tensors, bench times it all, report writes tables and pictures of
// networks, explain shows what a network saw, serve puts it behind HTTP. The command line is cmd/vggo.
package vggo
