// Command asm writes the assembly of package kernel. It is its own module, so that vggo itself does not depend on avo.
//
//	go run . ..            # from this folder: rewrites ../*_amd64.s, ../*_arm64.s and their stubs
//
// Those of amd64 are written by avo, from the programs beside this one; those of arm64, which avo lacks, by package
// neon. What a Winograd transform computes is compiled by package lines for both.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"

	"github.com/vggo/vggo/internal/kernel/_asm/neon"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . KERNEL_FOLDER")
		os.Exit(2)
	}
	files, err := generate()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), text, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// generate returns every generated file by name.
func generate() (map[string][]byte, error) {
	files, err := neon.Files()
	if err != nil {
		return nil, err
	}
	for _, program := range []struct {
		name string
		isa  isa
		body func(gen)
	}{
		{"gemm_avx2_amd64", avx2, func(g gen) { g.gemms(float32s) }},
		{"gemm_avx512_amd64", avx512, func(g gen) { g.gemms(float32s) }},
		{"dot_avx2_amd64", avx2, func(g gen) { g.dots(float32s) }},
		{"dot_avx512_amd64", avx512, func(g gen) { g.dots(float32s) }},
		{"half_avx2_amd64", avx2, halves},
		{"half_avx512_amd64", avx512, halves},
		{"elementwise_avx2_amd64", avx2, elementwise},
		{"elementwise_avx512_amd64", avx512, elementwise},
		{"pool_avx2_amd64", avx2, pools},
		{"pool_avx512_amd64", avx512, pools},
		{"winograd_avx2_amd64", avx2, winogradTransforms},
		{"winograd_avx512_amd64", avx512, winogradTransforms},
	} {
		g := gen{build.NewContext(), program.isa, map[string]bool{}}
		g.Constraint(buildtags.Not("purego"))
		program.body(g)
		file, err := g.Result()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program.name, err)
		}
		if err := pass.Compile.Execute(file); err != nil {
			return nil, fmt.Errorf("%s: %w", program.name, err)
		}
		config := printer.Config{Name: "internal/kernel/_asm", Pkg: "kernel"}
		for suffix, build := range map[string]printer.Builder{".s": printer.NewGoAsm, ".go": printer.NewStubs} {
			text, err := build(config).Print(file)
			if err != nil {
				return nil, fmt.Errorf("%s%s: %w", program.name, suffix, err)
			}
			files[program.name+suffix] = append(bytes.TrimRight(text, "\n"), '\n')
		}
	}
	return files, nil
}

// gemms writes the tiles of the matrix kernel.
func (g gen) gemms(numbers number) {
	most, wide := 6, 1
	if g.bytes == 64 {
		most, wide = 14, 2
	}
	for blocks := 1; blocks <= wide; blocks++ {
		for rows := 1; rows <= most; rows++ {
			g.gemm(rows, blocks, numbers)
		}
	}
}

// dots writes the dot-product tiles: 3 rows of activations by 4 rows of weights fill 12 accumulators.
func (g gen) dots(formats ...number) {
	if g.bytes == 32 {
		g.laneMaskTable()
	}
	for _, weights := range formats {
		for rows := 1; rows <= 3; rows++ {
			g.dot(rows, 4, weights)
			g.dot(rows, 1, weights)
		}
	}
}

func halves(g gen) {
	g.dots(float16s, bfloat16s)
	g.gemms(float16s)
	g.widen()
	g.narrow()
}

func elementwise(g gen) {
	g.relu()
	g.reluGrad()
	g.axpy()
	g.mulAdd()
	g.scaleShift()
	g.sumLanes()
	g.dotLanes()
	g.peak()
	g.read()
}

func pools(g gen) {
	g.maxPool()
	g.maxPoolGrad()
	if g.bytes == 32 { // AVX-512 processors run these
		g.winners()
		g.unpool()
	}
}
