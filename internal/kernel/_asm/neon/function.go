// Package neon writes the arm64 assembly of package kernel, which avo cannot. Its programs name registers that have no
// number yet; a linear scan gives them one. Instructions that Go's assembler lacks become WORDs, with what they are in
// a comment that a test holds them to.
package neon

import (
	"fmt"
	"go/ast"
	"go/parser"
	"math"
	"strings"
)

// block is the number of channels that lie side by side in a blocked feature map, as in package kernel: four vectors.
const (
	block      = 16
	blockBytes = block * 4
	parts      = 4
	partBytes  = blockBytes / parts
)

// V is a vector register of four floats, X one of 64 bits.
type (
	V int
	X int
)

// function is one that is being written. It is a leaf without a frame.
type function struct {
	name, signature string
	doc             []string
	params          map[string]int // offsets of the parameters
	bytes           int            // that they take
	code            []instruction
	vs, xs          int       // registers named so far
	table           []float64 // what it multiplies by, four to a vector
	tableVectors    []V
	prologue        int // where in code the table is loaded
}

// instruction is one, or a label.
type instruction struct {
	format   string
	operands []any // V, X and whatever else format prints
	word     uint32
	isWord   bool
	target   string // of a branch
	label    string
}

// newFunction takes the parameters of a signature: pointers, ints and float32s.
func newFunction(name, signature string, doc ...string) *function {
	f := &function{name: name, signature: signature, doc: doc, params: map[string]int{}}
	parsed, err := parser.ParseExpr("func" + signature)
	if err != nil {
		panic(err)
	}
	for _, field := range parsed.(*ast.FuncType).Params.List {
		size := 8
		if t, ok := field.Type.(*ast.Ident); ok && t.Name == "float32" {
			size = 4
		}
		for _, param := range field.Names {
			f.bytes = (f.bytes + size - 1) / size * size
			f.params[param.Name] = f.bytes
			f.bytes += size
		}
	}
	return f
}

func (f *function) vec() V { f.vs++; return V(f.vs - 1) }

func (f *function) vecs(n int) []V {
	v := make([]V, n)
	for i := range v {
		v[i] = f.vec()
	}
	return v
}

func (f *function) x() X { f.xs++; return X(f.xs - 1) }

// op writes an instruction of Go's assembler; format prints the numbers of registers among the operands.
func (f *function) op(format string, operands ...any) {
	f.code = append(f.code, instruction{format: format, operands: operands})
}

// wordOp writes an instruction that Go's assembler lacks. Its operands are registers, whose numbers go into bits 0, 5
// and 16; format is GNU's notation.
func (f *function) wordOp(word uint32, format string, operands ...any) {
	f.code = append(f.code, instruction{format: format, operands: operands, word: word, isWord: true})
}

func (f *function) label(name string) { f.code = append(f.code, instruction{label: name}) }

// branch writes a jump to a label, which format prints after the operands.
func (f *function) branch(format, target string, operands ...any) {
	f.code = append(f.code, instruction{format: format, operands: append(operands, target), target: target})
}

// param is a parameter in a register.
func (f *function) param(name string) X {
	x := f.x()
	f.op("MOVD %s+%d(FP), R%d", name, f.offset(name), x)
	return x
}

func (f *function) offset(name string) int {
	at, ok := f.params[name]
	if !ok {
		panic(fmt.Sprintf("%s has no parameter %s", f.name, name))
	}
	return at
}

// constant is the vector and the lane that hold k, which a multiplication by element takes. The first constant's place
// in the code is where all are loaded: outside loops.
func (f *function) constant(k float64) (v V, lane int) {
	for i, c := range f.table {
		if c == k {
			return f.tableVectors[i/parts], i % parts
		}
	}
	if len(f.table)%parts == 0 {
		f.tableVectors = append(f.tableVectors, f.vec())
	}
	f.table = append(f.table, k)
	return f.tableVectors[len(f.tableVectors)-1], (len(f.table) - 1) % parts
}

// constantsHere says that the constants, whichever are asked for, are loaded at this place.
func (f *function) constantsHere() { f.prologue = len(f.code) }

func (f *function) tableName() string { return f.name + "Constants" }

// loadTable puts the loads of the table where constantsHere was.
func (f *function) loadTable() {
	if len(f.table) == 0 {
		return
	}
	rest := append([]instruction(nil), f.code[f.prologue:]...)
	f.code = f.code[:f.prologue]
	at := f.x()
	f.op("MOVD $%s<>(SB), R%d", f.tableName(), at)
	for i, v := range f.tableVectors {
		f.load(v, at, i*partBytes)
	}
	f.code = append(f.code, rest...)
}

// print returns the function's assembly and its declaration.
func (f *function) print() (assembly, stub string, err error) {
	f.loadTable()
	f.op("RET")
	r, err := allocate(f.code)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", f.name, err)
	}
	var b strings.Builder
	if len(f.table) > 0 {
		b.WriteByte('\n')
		for i := range len(f.tableVectors) * parts {
			var c float64
			if i < len(f.table) {
				c = f.table[i]
			}
			fmt.Fprintf(&b, "DATA %s<>+%d(SB)/4, $0x%08x // %g\n", f.tableName(), 4*i, math.Float32bits(float32(c)), c)
		}
		fmt.Fprintf(&b, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", f.tableName(), len(f.tableVectors)*partBytes)
	}
	fmt.Fprintf(&b, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", f.name, f.signature, f.name, f.bytes)
	for _, i := range f.code {
		b.WriteString(i.print(r))
	}
	declaration := "\n"
	for _, line := range f.doc {
		declaration += "// " + line + "\n"
	}
	return b.String(), declaration + "//\n//go:noescape\nfunc " + f.name + f.signature + "\n", nil
}

func (i instruction) print(r registers) string {
	if i.label != "" {
		return "\n" + i.label + ":\n"
	}
	numbers := make([]any, len(i.operands))
	word := i.word
	for at, operand := range i.operands {
		numbers[at] = r.number(operand)
		if i.isWord {
			word |= uint32(r.number(operand).(int)) << [...]int{0, 5, 16}[at]
		}
	}
	text := fmt.Sprintf(i.format, numbers...)
	if i.isWord {
		return fmt.Sprintf("\tWORD $0x%08x // %s\n", word, text)
	}
	return "\t" + text + "\n"
}
