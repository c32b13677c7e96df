// Random changes of images, as drawn: see fastpath/data/augment.py, whose integers these are.
//
// Coordinates have 16 fractional bits, of which a pixel is interpolated from 8, so that the
// result is the same integer here, in PyTorch and on any device.

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t ONE = 1 << 16;

struct Draw {
    int32_t yy, yx, y, xy, xx, x;          // coordinates in the image, of those in the result
    int32_t top, bottom, left, right;      // the rectangle that is erased
    int32_t gain, offset;                  // of the contrast (256: none), of the brightness
};

// Copy an image that is only shifted, or also mirrored.
void shift(const uint8_t *from, const Draw &d, int64_t height, int64_t width,
           int64_t channels, uint8_t *to) {
    const int64_t dx = d.x / ONE, dy = d.y / ONE;  // whole, and may be negative
    for (int64_t row = 0; row < height; ++row, to += width * channels) {
        const int64_t source = row + dy;
        if (source < 0 || source >= height) {
            std::memset(to, 0, width * channels);
            continue;
        }
        const uint8_t *line = from + source * width * channels;
        if (d.xx > 0) {
            const int64_t first = std::clamp<int64_t>(-dx, 0, width);
            const int64_t last = std::clamp<int64_t>(width - dx, first, width);
            std::memset(to, 0, first * channels);
            std::memcpy(to + first * channels, line + (first + dx) * channels,
                        (last - first) * channels);
            std::memset(to + last * channels, 0, (width - last) * channels);
            continue;
        }
        for (int64_t column = 0; column < width; ++column) {
            const int64_t at = dx - column;
            for (int64_t c = 0; c < channels; ++c)
                to[column * channels + c] =
                    at < 0 || at >= width ? 0 : line[at * channels + c];
        }
    }
}

// Interpolate an image between its pixels; beyond its edges it is 0.
template <int64_t FIXED>
void resample(const uint8_t *from, const Draw &d, int64_t height, int64_t width,
              int64_t any, uint8_t *to) {
    const int64_t channels = FIXED ? FIXED : any;
    const int64_t line = width * channels;
    for (int32_t row = 0; row < height; ++row) {
        int32_t y = d.yy * row + d.y, x = d.xy * row + d.x;
        for (int64_t column = 0; column < width; ++column, y += d.yx, x += d.xx) {
            const int32_t top = y >> 16, left = x >> 16;
            const int32_t fy = (y >> 8) & 255, fx = (x >> 8) & 255;
            uint8_t *pixel = to + row * line + column * channels;
            if (top < -1 || top >= height || left < -1 || left >= width) {
                for (int64_t c = 0; c < channels; ++c) pixel[c] = 0;
                continue;
            }
            const bool above = top >= 0, below = top + 1 < height;
            const bool before = left >= 0, after = left + 1 < width;
            const uint8_t *corner = from + top * line + left * channels;
            for (int64_t c = 0; c < channels; ++c) {
                const int32_t a = above && before ? corner[c] : 0;
                const int32_t b = above && after ? corner[channels + c] : 0;
                const int32_t e = below && before ? corner[line + c] : 0;
                const int32_t f = below && after ? corner[line + channels + c] : 0;
                const int32_t upper = (256 - fx) * a + fx * b;
                const int32_t lower = (256 - fx) * e + fx * f;
                pixel[c] = ((256 - fy) * upper + fy * lower + 32768) >> 16;
            }
        }
    }
}

// Change the contrast about the mean of the image, and its brightness.
void jitter(const Draw &d, int64_t size, uint8_t *image) {
    if (d.gain == 256 && d.offset == 0) return;
    int64_t total = 0;
    for (int64_t i = 0; i < size; ++i) total += image[i];
    const int32_t mean = total / size;
    for (int64_t i = 0; i < size; ++i) {
        const int32_t changed = (((image[i] - mean) * d.gain + 128) >> 8) + mean + d.offset;
        image[i] = std::clamp(changed, 0, 255);
    }
}

void erase(const Draw &d, int64_t width, int64_t channels, uint8_t *image) {
    if (d.left >= d.right) return;
    for (int64_t row = d.top; row < d.bottom; ++row)
        std::memset(image + (row * width + d.left) * channels, 0,
                    (d.right - d.left) * channels);
}

}  // namespace

extern "C" void augment(const uint8_t *images, const int32_t *draws, int64_t number,
                        int64_t height, int64_t width, int64_t channels, uint8_t *results) {
    const int64_t size = height * width * channels;
    for (int64_t i = 0; i < number; ++i) {
        Draw d;
        std::memcpy(&d, draws + 12 * i, sizeof d);
        const uint8_t *from = images + i * size;
        uint8_t *to = results + i * size;
        const bool whole = d.x % ONE == 0 && d.y % ONE == 0;
        if (whole && d.yy == ONE && !d.yx && !d.xy && (d.xx == ONE || d.xx == -ONE))
            shift(from, d, height, width, channels, to);
        else if (channels == 1)
            resample<1>(from, d, height, width, channels, to);
        else if (channels == 3)
            resample<3>(from, d, height, width, channels, to);
        else
            resample<0>(from, d, height, width, channels, to);
        jitter(d, size, to);
        erase(d, width, channels, to);
    }
}
