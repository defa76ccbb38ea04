package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/nn"
)

// planFlags are the flags of commands that run a network, about how it is run.
type planFlags struct {
	memory string
	costs  string
}

func (p *planFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.memory, "memory", "", "most memory that weights, maps and workspace may take, such as `1.2GB` or "+
		"900MiB; convolutions then go by algorithms that take less")
	f.StringVar(&p.costs, "costs", "", "`FILE` of prices that choose between algorithms, from vggo calibrate (default: "+
		"those that come with vggo)")
}

// apply sets what the flags say.
func (p *planFlags) apply(costs *nn.CostTable, budget *int64) (err error) {
	if p.memory != "" {
		if *budget, err = parseBytes(p.memory); err != nil {
			return usageError{fmt.Errorf("--memory: %w", err)}
		}
	}
	if p.costs != "" {
		if *costs, err = plainfile.Read(p.costs, nn.ReadCosts); err != nil {
			return hint(err, "vggo calibrate -o FILE measures a table")
		}
	}
	return nil
}

// halfFlag is --half, of commands that use a network and do not train it.
type halfFlag struct{ nn.Half }

func (h *halfFlag) add(f *pflag.FlagSet) {
	f.Var(h, "half", "`WHICH` weights are kept in 16 bits: linear, the fully connected layers'; all, convolutions' too; "+
		"or none (--half alone is linear)")
	f.Lookup("half").NoOptDefVal = nn.HalfLinear.String()
}

// Set and Type make it a pflag.Value. A word that is none leaves it as it is: detached tries the one behind the flag.
func (h *halfFlag) Set(name string) error {
	half, err := nn.ParseHalf(name)
	if err == nil {
		h.Half = half
	}
	return err
}

func (h *halfFlag) Type() string { return "half" }

// byteUnits are in lower case.
var byteUnits = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// parseBytes reads "1.2GB".
func parseBytes(s string) (int64, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, ok := byteUnits[strings.ToLower(s[len(digits):])]
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if !ok || err != nil || !(n*unit >= 1 && n*unit < math.MaxInt64) {
		return 0, fmt.Errorf("%q is no size: want a number and B, kB, MB, GB, KiB, MiB or GiB, as in 1.2GB", s)
	}
	return int64(n * unit), nil
}

// hintSmaller says what would do where a batch does not fit.
func hintSmaller(err error) error {
	var e *nn.MemoryError
	if !errors.As(err, &e) {
		return err
	}
	var would []string
	if e.Fits > 0 {
		would = append(would, fmt.Sprintf("--batch %d fits", e.Fits))
	}
	if e.Budget {
		would = append(would, fmt.Sprintf("--memory %dMB would do", (e.Need+999_999)/1_000_000))
	}
	if e.Training {
		would = append(would, "--mode forward needs less")
	}
	if len(would) == 0 {
		return err
	}
	return hint(err, strings.Join(would, "; "))
}
