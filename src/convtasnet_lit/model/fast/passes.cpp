// The four passes of passes.py over (batch, channels, frames), each in one sweep over memory.
//
// A row is one channel of one mixture, and the threads share the rows out. All loops run along the frames of a row, so
// what they need again is still in the cache. kernels.py compiles this file with -DREAL, float or double, and -DSTORED, the
// same or bfloat16.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

using real = REAL;  // what is computed with

// bfloat16, the upper half of a float: C++ has no such type before C++23.
struct bfloat16 {
    uint16_t bits;
    bfloat16 &operator=(float value) {  // not a constructor: GCC vectorizes no loop that makes objects
        uint32_t whole;
        std::memcpy(&whole, &value, sizeof whole);
        bits = (whole + 0x7fff + (whole >> 16 & 1)) >> 16;  // to nearest, ties to even
        return *this;
    }
    operator float() const {
        const uint32_t whole = uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &whole, sizeof value);
        return value;
    }
};

using stored = STORED;  // what lies in memory

// What turns y into q: passes.Hidden, and the sizes. kernels.py mirrors it.
struct Hidden {
    const real *expand_bias, *slope, *scale, *shift, *taps, *bias, *mixed_slope;
    int64_t rows, channels, frames, num_taps, dilation, left, right;
};

namespace {

// What turns one row of y into one of q.
struct Row {
    const real *taps;
    const real expand_bias, slope, scale, shift, bias, mixed_slope;
    Row(const Hidden &hidden, int64_t row) : Row(hidden, row, row % hidden.channels) {}

  private:
    Row(const Hidden &hidden, int64_t row, int64_t channel)
        : taps(hidden.taps + channel * hidden.num_taps), expand_bias(hidden.expand_bias[channel]),
          slope(*hidden.slope), scale(hidden.scale[row]), shift(hidden.shift[row]), bias(hidden.bias[channel]),
          mixed_slope(*hidden.mixed_slope) {}
};

real prelu(real x, real slope) { return x > 0 ? x : slope * x; }

// A row between zeros, for a convolution to read beyond its ends.
class PaddedRow {
  public:
    PaddedRow(int64_t left, int64_t frames, int64_t right)
        : values(left + frames + right), first(values.data() + left) {}
    operator real *() { return first; }

  private:
    std::vector<real> values;
    real *first;
};

// output[t] = bias + the sum over k of taps[k] * input[t + start + k * step]
void convolve(const real *input, real *output, const real *taps, real bias, int64_t start, int64_t step,
              const Hidden &hidden) {
    const int64_t frames = hidden.frames;
    if (hidden.num_taps == 3) {  // the paper's kernel, in one loop
        const real w0 = taps[0], w1 = taps[1], w2 = taps[2];
        const real *x0 = input + start, *x1 = x0 + step, *x2 = x1 + step;
#pragma omp simd
        for (int64_t t = 0; t < frames; t++) output[t] = bias + w0 * x0[t] + w1 * x1[t] + w2 * x2[t];
        return;
    }
    std::fill(output, output + frames, bias);
    for (int64_t k = 0; k < hidden.num_taps; k++) {
        const real w = taps[k], *x = input + start + k * step;
#pragma omp simd
        for (int64_t t = 0; t < frames; t++) output[t] += w * x[t];
    }
}

}  // namespace

extern "C" void moments(const Hidden &hidden, const stored *input, real *sum, real *square_sum) {
#pragma omp parallel for
    for (int64_t row = 0; row < hidden.rows; row++) {
        const stored *y = input + row * hidden.frames;
        const real expand_bias = hidden.expand_bias[row % hidden.channels], slope = *hidden.slope;
        real s = 0, squares = 0;
#pragma omp simd reduction(+ : s, squares)
        for (int64_t t = 0; t < hidden.frames; t++) {
            const real p = prelu(y[t] + expand_bias, slope);
            s += p;
            squares += p * p;
        }
        sum[row] = s;
        square_sum[row] = squares;
    }
}

extern "C" void mix(const Hidden &hidden, const stored *input, stored *output, real *sum, real *square_sum) {
#pragma omp parallel
    {
        PaddedRow padded(hidden.left, hidden.frames, hidden.right);
        std::vector<real> mixed(hidden.frames);
        real *const h = padded, *const z = mixed.data();
#pragma omp for
        for (int64_t row = 0; row < hidden.rows; row++) {
            const Row at(hidden, row);
            const stored *y = input + row * hidden.frames;
            stored *q = output + row * hidden.frames;
#pragma omp simd
            for (int64_t t = 0; t < hidden.frames; t++) h[t] = prelu(y[t] + at.expand_bias, at.slope) * at.scale + at.shift;
            convolve(h, z, at.taps, at.bias, -hidden.left, hidden.dilation, hidden);
            real s = 0, squares = 0;
#pragma omp simd reduction(+ : s, squares)
            for (int64_t t = 0; t < hidden.frames; t++) {
                const real value = prelu(z[t], at.mixed_slope);
                q[t] = value;
                s += value;
                squares += value * value;
            }
            sum[row] = s;
            square_sum[row] = squares;
        }
    }
}

// The gradient becomes that of z.
extern "C" void mix_backward(const Hidden &hidden, stored *gradient, const stored *input, const real *constant,
                             const real *linear, real *slope_gradient, real *correlation, real *window_sum) {
#pragma omp parallel
    {
        PaddedRow padded_p(hidden.left, hidden.frames, hidden.right);
        PaddedRow padded_h(hidden.left, hidden.frames, hidden.right);
        real *const p = padded_p, *const h = padded_h;
        std::vector<real> mixed(hidden.frames);
        real *const z = mixed.data();
#pragma omp for
        for (int64_t row = 0; row < hidden.rows; row++) {
            const Row at(hidden, row);
            const stored *y = input + row * hidden.frames;
            const real added = constant[row], per_q = linear[row];
            stored *g = gradient + row * hidden.frames;
            real slopes = 0;
#pragma omp simd
            for (int64_t t = 0; t < hidden.frames; t++) {
                p[t] = prelu(y[t] + at.expand_bias, at.slope);
                h[t] = p[t] * at.scale + at.shift;
            }
            convolve(h, z, at.taps, at.bias, -hidden.left, hidden.dilation, hidden);
#pragma omp simd reduction(+ : slopes)
            for (int64_t t = 0; t < hidden.frames; t++) {
                const real q_gradient = g[t] + added + per_q * prelu(z[t], at.mixed_slope);
                slopes += z[t] > 0 ? real(0) : q_gradient * z[t];
                g[t] = z[t] > 0 ? q_gradient : at.mixed_slope * q_gradient;
            }
            slope_gradient[row] = slopes;
            for (int64_t k = 0; k < hidden.num_taps; k++) {
                const int64_t ahead = k * hidden.dilation - hidden.left;
                const int64_t begin = std::clamp<int64_t>(-ahead, 0, hidden.frames);
                const int64_t end = std::clamp<int64_t>(hidden.frames - ahead, 0, hidden.frames);
                const real *read = p + ahead;
                real product = 0, s = 0;
#pragma omp simd reduction(+ : product, s)
                for (int64_t t = begin; t < end; t++) {
                    product += g[t] * read[t];
                    s += g[t];
                }
                correlation[row * hidden.num_taps + k] = product;
                window_sum[row * hidden.num_taps + k] = s;
            }
        }
    }
}

// The gradient becomes that of y.
extern "C" void expand_backward(const Hidden &hidden, stored *gradient, const stored *input, const real *constant,
                                const real *linear, real *slope_gradient, real *sum) {
#pragma omp parallel
    {
        PaddedRow padded(hidden.right, hidden.frames, hidden.left);
        std::vector<real> convolved(hidden.frames);
        real *const z_gradient = padded, *const h_gradient = convolved.data();
#pragma omp for
        for (int64_t row = 0; row < hidden.rows; row++) {
            const Row at(hidden, row);
            const real added = constant[row], per_p = linear[row];
            const stored *y = input + row * hidden.frames;
            stored *g = gradient + row * hidden.frames;
            real slopes = 0, s = 0;
            std::copy_n(g, hidden.frames, z_gradient);
            convolve(z_gradient, h_gradient, at.taps, 0, hidden.left, -hidden.dilation, hidden);
#pragma omp simd reduction(+ : slopes, s)
            for (int64_t t = 0; t < hidden.frames; t++) {
                const real biased = y[t] + at.expand_bias;
                const real p_gradient = at.scale * h_gradient[t] + added + per_p * prelu(biased, at.slope);
                const real y_gradient = biased > 0 ? p_gradient : at.slope * p_gradient;
                slopes += biased > 0 ? real(0) : p_gradient * biased;
                s += y_gradient;
                g[t] = y_gradient;
            }
            slope_gradient[row] = slopes;
            sum[row] = s;
        }
    }
}
