// Package train makes a network of pictures: optimisers, schedules, augmentation, and a loop whose runs can be trusted.
//
// A Trainer follows a Recipe. What it does depends on the recipe, the data and the kernels alone, not on threads or on
// interruptions: every random choice is drawn from the seed, the epoch and the sample, every sum has a fixed order, and
// a run resumed from a checkpoint ends with the bits of one that never stopped.
package train
