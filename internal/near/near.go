// Package near finds what a slip of the hand may have meant.
package near

import (
	"slices"
	"strings"
)

// longest is the most bytes of a word that is compared: longer ones are no slip of the hand, and comparing takes the
// product of their lengths.
const longest = 64

// Names returns up to so many of some names that a slip could have turned into word, the nearest first. Both are
// compared as key makes them.
func Names(word string, names []string, most int, key func(string) string) []string {
	type candidate struct {
		name     string
		distance int
	}
	word = key(word)
	if word == "" || len(word) > longest {
		return nil
	}
	var found []candidate
	for _, name := range names {
		k := key(name)
		if k == "" || len(k) > longest {
			continue
		}
		d := distance(word, k)
		if strings.HasPrefix(k, word) { // what is cut short is as near as one slip
			d = min(d, 1)
		}
		if d <= max(1, (len(k)+1)/3) && (d < len(k) || d < len(word)) { // not each letter for every other
			found = append(found, candidate{name, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.distance - b.distance })
	var near []string
	for _, c := range found[:min(most, len(found))] {
		near = append(near, c.name)
	}
	return near
}

// distance counts the slips from one word to the other: a byte too many, too few, another, or two that change places
// (Damerau and Levenshtein's, each place touched once).
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
