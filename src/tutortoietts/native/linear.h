// The weights of a linear layer, as every kernel takes them.
#pragma once
#include <stdint.h>

enum { F32, BF16, INT8 };  // kinds of numbers

typedef struct {           // y = x weight^T + bias
    const void *weight;    // (out, in) of `kind`
    const float *scale;    // INT8: (out,), one for each row
    const int32_t *sums;   // INT8: (out,), the sum of each row's integers
    const float *bias;     // (out,)
    int64_t kind, in, out;
} Linear;
