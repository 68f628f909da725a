// What lies between the matrix products of a cumulative block, for a few frames that follow others: a frame's channels lie
// side by side, all loops run along them, and what they need again is still in the cache. between.py compiles this file.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// A PReLU and the cumulative norm after it; sums are of all frames so far and of their squares.
struct Norm {
    const float *slope, *weight, *bias;
    double *sums;  // (batch, 2)
};

}  // namespace

// between.py mirrors it.
struct Block {
    Norm first, second;
    const float *taps, *bias;  // of the depthwise convolution, (channels, num_taps) and (channels,)
    const double *counts;      // how many frames there are up to each of these, (frames,); before the first, none
    int64_t batch, frames, channels, num_taps, dilation;
    double epsilon;
};

namespace {

// (frames, channels) to the same, which may be the same memory; a frame before the first is silent and does not count.
void normalize(const Block &block, const Norm &norm, double *sums, const float *input, float *output) {
    const float slope = *norm.slope;
    for (int64_t t = 0; t < block.frames; t++, input += block.channels, output += block.channels) {
        if (block.counts[t] < 1) {
            std::fill(output, output + block.channels, 0.0f);
            continue;
        }
        double sum = 0, square_sum = 0;
#pragma omp simd reduction(+ : sum, square_sum)
        for (int64_t c = 0; c < block.channels; c++) {
            const float p = input[c] > 0 ? input[c] : slope * input[c];
            output[c] = p;
            sum += p;
            square_sum += double(p) * p;
        }
        const double count = block.counts[t] * block.channels;
        const double mean = (sums[0] += sum) / count, square = (sums[1] += square_sum) / count;
        const float center = mean, scale = 1 / std::sqrt(std::max(square - mean * mean, 0.0) + block.epsilon);
#pragma omp simd
        for (int64_t c = 0; c < block.channels; c++)
            output[c] = (output[c] - center) * scale * norm.weight[c] + norm.bias[c];
    }
}

// (context + frames, channels) to (frames, channels)
void convolve(const Block &block, const std::vector<float> &taps, const float *input, float *output) {
    for (int64_t t = 0; t < block.frames; t++, output += block.channels) {
        std::copy(block.bias, block.bias + block.channels, output);
        for (int64_t k = 0; k < block.num_taps; k++) {
            const float *tap = &taps[k * block.channels], *read = input + (t + k * block.dilation) * block.channels;
#pragma omp simd
            for (int64_t c = 0; c < block.channels; c++) output[c] += tap[c] * read[c];
        }
    }
}

}  // namespace

// Of longer, (batch, context + frames, channels), the context is given and the rest becomes the first norm's output; y,
// (batch, frames, channels), is the product before and becomes the second norm's output.
extern "C" void between(const Block &block, float *y, float *longer) {
    std::vector<float> taps(block.num_taps * block.channels);  // (num_taps, channels)
    for (int64_t c = 0; c < block.channels; c++)
        for (int64_t k = 0; k < block.num_taps; k++)
            taps[k * block.channels + c] = block.taps[c * block.num_taps + k];
    const int64_t context = (block.num_taps - 1) * block.dilation;
    for (int64_t b = 0; b < block.batch; b++) {
        normalize(block, block.first, block.first.sums + 2 * b, y, longer + context * block.channels);
        convolve(block, taps, longer, y);
        normalize(block, block.second, block.second.sums + 2 * b, y, y);
        y += block.frames * block.channels;
        longer += (context + block.frames) * block.channels;
    }
}
