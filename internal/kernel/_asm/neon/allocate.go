package neon

import (
	"cmp"
	"fmt"
	"slices"
)

// registers are the numbers that registers got.
type registers struct {
	v map[V]int
	x map[X]int
}

// number is a register's number; other operands stay what they are.
func (r registers) number(operand any) any {
	switch operand := operand.(type) {
	case V:
		return r.v[operand]
	case X:
		return r.x[operand]
	}
	return operand
}

// Of 32 integer registers, R16 and R17 are the linker's, R18 the system's, R26 a closure's, R27 the assembler's, R28
// the goroutine, R29 and R30 the frame and the return address, 31 the stack pointer.
var (
	integers = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23, 24, 25}
	vectors  = append(integers[:16:16], 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)
)

func allocate(code []instruction) (r registers, err error) {
	if r.v, err = scan[V](code, vectors); err != nil {
		return r, fmt.Errorf("vectors: %w", err)
	}
	if r.x, err = scan[X](code, integers); err != nil {
		return r, fmt.Errorf("integers: %w", err)
	}
	return r, nil
}

// life is the instructions from a register's first to its last.
type life[R V | X] struct {
	register    R
	first, last int
}

// scan gives registers numbers in the order of their first instructions (Poletto & Sarkar 1999), the lowest that is
// free. A register that ends where another begins keeps its number to itself there: an instruction may write before it
// has read.
func scan[R V | X](code []instruction, pool []int) (map[R]int, error) {
	numbers, busyUntil := map[R]int{}, map[int]int{}
	for _, l := range lives[R](code) {
		at := slices.IndexFunc(pool, func(number int) bool {
			until, taken := busyUntil[number]
			return !taken || until < l.first
		})
		if at < 0 {
			return nil, fmt.Errorf("none is free at instruction %d, %s", l.first, code[l.first].format)
		}
		numbers[l.register], busyUntil[pool[at]] = pool[at], l.last
	}
	return numbers, nil
}

// lives lists registers by their first instruction. What is there before a loop and needed in it is needed to its end.
func lives[R V | X](code []instruction) []life[R] {
	at, labels := map[R]int{}, map[string]int{}
	var all []life[R]
	for i, in := range code {
		labels[in.label] = i
		for _, operand := range in.operands {
			if v, ok := operand.(R); ok {
				if _, known := at[v]; !known {
					at[v] = len(all)
					all = append(all, life[R]{v, i, i})
				}
				all[at[v]].last = i
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for end, in := range code {
			if in.target == "" {
				continue
			}
			for k, l := range all {
				if begin := labels[in.target]; l.first < begin && begin <= l.last && l.last < end {
					all[k].last, changed = end, true
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b life[R]) int { return cmp.Compare(a.first, b.first) })
	return all
}
