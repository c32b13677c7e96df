// The learning step of a dense layer on a CPU, but for the matrix product of the drive.
//
// Everything here touches B images and the few rows of W that learn: it costs a tenth of the
// product or less, if no row is read twice from memory and nothing is allocated. Images are
// (image, pixel), drive (image, unit), weights (unit, pixel), all contiguous. A learner is an
// entry (image, unit, g, drive) with g != 0; entries are sorted by image.
//
// No loop relies on reordered sums, so the flags need no -ffast-math: accumulators that run
// side by side are written out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t LANES = 32;  // independent accumulators: two 512-bit registers of float
constexpr int64_t CHUNK = 64;  // units of which one comparison with the largest is enough

template <class T>
T largest_of(const T* x, int64_t n) {
    T lane[LANES];
    T best = x[0];
    int64_t i = 0;
    if (n >= LANES) {
        for (int64_t l = 0; l < LANES; ++l) lane[l] = x[l];
        for (i = LANES; i + LANES <= n; i += LANES)
            for (int64_t l = 0; l < LANES; ++l)
                lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        for (int64_t l = 0; l < LANES; ++l) best = lane[l] > best ? lane[l] : best;
    }
    for (; i < n; ++i) best = x[i] > best ? x[i] : best;
    return best;
}

template <class T, class F>
T sum_of(int64_t n, F term) {
    T lane[LANES] = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int64_t l = 0; l < LANES; ++l) lane[l] += term(i + l);
    for (int64_t l = 0; i < n; ++i, ++l) lane[l] += term(i);
    T total = 0;
    for (int64_t l = 0; l < LANES; ++l) total += lane[l];
    return total;
}

// Divides by one number many times. With fused multiply-add, multiplying by the reciprocal and
// correcting by the remainder gives the rounded quotient itself (P. W. Markstein, IBM J. Res.
// Dev. 34:111, 1990), in a third of the time of a division.
template <class T>
struct Divide {
    explicit Divide(T divisor) : by(divisor), reciprocal(T(1) / divisor) {}
    T operator()(T x) const {
#ifdef __FMA__
        const T quotient = x * reciprocal;
        return std::fma(std::fma(-quotient, by, x), reciprocal, quotient);
#else
        return x / by;
#endif
    }
    T by, reciprocal;
};

// Asks for an image that is read next: images lie anywhere in a set that no cache holds.
inline void prefetch(const uint8_t* image, int64_t num_pixels) {
#ifdef __GNUC__
    for (int64_t i = 0; i < num_pixels; i += 64) __builtin_prefetch(image + i);
#endif
}

// v = x / 255, then centred and scaled as Preprocess says. mean may be null. Returns the
// place of the first index that is not one of the num_all images, or -1.
template <class T>
int64_t prepare(const uint8_t* x, int64_t num_all, const int64_t* index, int64_t num_images,
                int64_t num_pixels, const T* __restrict__ mean, int64_t center,
                int64_t unit_norm, T* __restrict__ out) {
    const Divide<T> by_255(255);
    for (int64_t b = 0; b < num_images; ++b) {
        if (index[b] < 0 || index[b] >= num_all) return b;
        const int64_t next = b + 2 < num_images ? index[b + 2] : -1;
        if (next >= 0 && next < num_all) prefetch(x + next * num_pixels, num_pixels);
        const uint8_t* __restrict__ from = x + index[b] * num_pixels;
        T* __restrict__ v = out + b * num_pixels;
        if (mean)
            for (int64_t i = 0; i < num_pixels; ++i) v[i] = by_255(T(from[i])) - mean[i];
        else
            for (int64_t i = 0; i < num_pixels; ++i) v[i] = by_255(T(from[i]));
        if (center) {
            T level = sum_of<T>(num_pixels, [v](int64_t i) { return v[i]; }) / T(num_pixels);
            const auto ends = std::minmax_element(v, v + num_pixels);  // see preprocess.py
            level = std::min(std::max(level, *ends.first), *ends.second);
            for (int64_t i = 0; i < num_pixels; ++i) v[i] -= level;
        }
        if (unit_norm) {
            const T square = sum_of<T>(num_pixels, [v](int64_t i) { return v[i] * v[i]; });
            const Divide<T> by_norm(std::max(std::sqrt(square), T(1e-12)));
            for (int64_t i = 0; i < num_pixels; ++i) v[i] = by_norm(v[i]);
        }
    }
    return -1;
}

// Keeps the k largest drives seen, in descending order; of equal ones the first stays ahead.
template <class T>
void insert(T value, int64_t unit, int64_t k, T* values, int64_t* units) {
    int64_t j = k - 1;
    for (; j > 0 && value > values[j - 1]; --j) {
        values[j] = values[j - 1];
        units[j] = units[j - 1];
    }
    values[j] = value;
    units[j] = unit;
}

// Whether any of CHUNK numbers is larger than a limit.
template <class T>
bool any_larger(const T* x, T limit) {
    int32_t any = 0;
    for (int64_t i = 0; i < CHUNK; ++i) any |= x[i] > limit;
    return any;
}

template <class T>
void top(const T* drive, int64_t num_units, int64_t k, T* values, int64_t* units) {
    for (int64_t u = 0; u < k; ++u) {
        values[u] = drive[u];  // a slot for `insert` to fill
        insert(drive[u], u, u + 1, values, units);
    }
    for (int64_t from = k; from < num_units; from += CHUNK) {
        const int64_t n = std::min(CHUNK, num_units - from);
        if (n == CHUNK && !any_larger(drive + from, values[k - 1])) continue;
        for (int64_t u = from; u < from + n; ++u)
            if (drive[u] > values[k - 1]) insert(drive[u], u, k, values, units);
    }
}

// For long lists: puts the m largest drives first, the largest of them ahead, the m-th last,
// and with `sorted` all in order; of equal ones the first unit is ahead, as in `top`.
template <class T>
void select(const T* drive, int64_t num_units, int64_t m, bool sorted, int64_t* units) {
    const auto ahead = [drive](int64_t a, int64_t b) {
        return drive[a] > drive[b] || (drive[a] == drive[b] && a < b);
    };
    bool ordered = true;  // the order of NaN would be none at all
    for (int64_t u = 0; u < num_units; ++u) {
        units[u] = u;
        ordered &= drive[u] == drive[u];
    }
    if (!ordered) return;
    std::nth_element(units, units + m - 1, units + num_units, ahead);
    if (sorted)
        std::sort(units, units + m - 1, ahead);
    else
        std::iter_swap(units, std::min_element(units, units + m - 1, ahead));
}

constexpr int64_t LONG_LIST = 64;

// +1 to the largest drive, -delta to each of the ranks from..m, where rank 1 is the largest:
// eq. 10 for from = m = k, k units that unlearn for from = 2, m = k + 1. Returns the number of
// learners.
template <class T>
int64_t rank(const T* drive, int64_t num_images, int64_t num_units, int64_t from, int64_t m,
             double delta, int64_t* image, int64_t* unit, T* g, T* current) {
    T values[LONG_LIST];
    int64_t short_list[LONG_LIST];
    std::vector<int64_t> long_list(m > LONG_LIST ? num_units : 0);
    int64_t* units = m > LONG_LIST ? long_list.data() : short_list;
    int64_t n = 0;
    for (int64_t b = 0; b < num_images; ++b) {
        const T* row = drive + b * num_units;
        const auto learns = [&](int64_t u, T by) {
            image[n] = b;
            unit[n] = u;
            g[n] = by;
            current[n++] = row[u];
        };
        if (m > LONG_LIST)
            select(row, num_units, m, from < m, units);
        else
            top(row, num_units, m, values, units);
        learns(units[0], T(1));
        if (delta == 0) continue;
        for (int64_t j = from - 1; j < m; ++j) learns(units[j], T(-delta));
    }
    return n;
}

// The summed activity S of the fixed point for w < 1. S is the largest of the S_m of all
// prefixes of the sorted drives, so the S of any set that holds the active one is too small,
// and a unit with I <= w S of such a set is not active. Drop those, until none is left.
template <class T>
T summed_activity(const T* drive, int64_t num_units, T w, T* held) {
    const T most = largest_of(drive, num_units);
    if (!(most > 0)) return 0;
    int64_t m = 0;
    for (int64_t from = 0; from < num_units; from += CHUNK) {
        const int64_t n = std::min(CHUNK, num_units - from);
        if (!(largest_of(drive + from, n) > w * most)) continue;
        for (int64_t u = from; u < from + n; ++u)
            if (drive[u] > w * most) held[m++] = drive[u];
    }
    for (;;) {
        T total = 0;
        for (int64_t j = 0; j < m; ++j) total += held[j];
        const T s = total / (1 + T(m - 1) * w);
        int64_t kept = 0;
        for (int64_t j = 0; j < m; ++j)
            if (held[j] > w * s) held[kept++] = held[j];
        if (kept == m) return s;
        m = kept;
    }
}

// Eq. 9 on the exact equilibrium of eq. 8. Returns the number of learners.
template <class T>
int64_t settle(const T* drive, int64_t num_images, int64_t num_units, double w_inh,
               double h_star, double delta, int64_t* image, int64_t* unit, T* g, T* current) {
    std::vector<T> held(num_units);
    const T w = w_inh;
    int64_t n = 0;
    for (int64_t b = 0; b < num_images; ++b) {
        const T* row = drive + b * num_units;
        T s, most = 0, won = 0;
        if (w < 1) {  // as rounded
            s = summed_activity(row, num_units, w, held.data());
        } else {  // the largest drive wins alone; exact ties share
            most = largest_of(row, num_units);
            const int64_t winners = std::count(row, row + num_units, most);
            won = most > 0 ? most / (1 + T(winners - 1) * w) : T(0);
            s = T(winners) * won;
        }
        const auto learns = [&](int64_t u) {
            const T excess = row[u] - w * s;
            T h = excess;
            if (w < 1) {
                if (excess > 0) h = excess / (1 - w);
            } else if (row[u] == most && most > 0) {
                h = won;
            }
            if (!(h >= 0)) return;
            const bool hebbian = h >= T(h_star);
            if (!hebbian && delta == 0) return;
            image[n] = b;
            unit[n] = u;
            g[n] = hebbian ? T(1) : T(-delta);
            current[n++] = row[u];
        };
        // For w >= 1 a winner's I - w S may round below 0: look for the winner itself.
        const T least = w < 1 ? w * s : (most > 0 ? most : T(0));
        for (int64_t from = 0; from < num_units; from += CHUNK) {
            const int64_t m = std::min(CHUNK, num_units - from);
            if (!(largest_of(row + from, m) >= least)) continue;
            for (int64_t u = from; u < from + m; ++u) learns(u);
        }
    }
    return n;
}

// out -= decay w; returns the largest |out|.
template <class T>
T subtract_decay(T decay, const T* __restrict__ w, int64_t n, T* __restrict__ out) {
    T lane[LANES] = {}, most = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int64_t l = 0; l < LANES; ++l) {
            const T d = out[i + l] - decay * w[i + l];
            out[i + l] = d;
            lane[l] = std::abs(d) > lane[l] ? std::abs(d) : lane[l];
        }
    for (int64_t l = 0; i < n; ++i, ++l) {
        const T d = out[i] -= decay * w[i];
        lane[l] = std::abs(d) > lane[l] ? std::abs(d) : lane[l];
    }
    for (int64_t l = 0; l < LANES; ++l) most = lane[l] > most ? lane[l] : most;
    return most;
}

// Eq. 3 for the units that learn: Sum_b g v_b - (Sum_b g I_b) W_u, one row of `change` for
// each, in the order of units. Returns their number; `largest` is the largest |change|.
template <class T>
int64_t changes(const int64_t* image, const int64_t* unit, const T* g, const T* current,
                int64_t num_learners, const T* v, const T* weights, int64_t num_units,
                int64_t num_pixels, int64_t* rows, T* change, T* largest) {
    std::vector<int64_t> start(num_units + 1), by_unit(num_learners);
    for (int64_t n = 0; n < num_learners; ++n) ++start[unit[n] + 1];
    for (int64_t u = 0; u < num_units; ++u) start[u + 1] += start[u];
    {
        std::vector<int64_t> next(start.begin(), start.end() - 1);
        for (int64_t n = 0; n < num_learners; ++n) by_unit[next[unit[n]]++] = n;
    }
    T most = 0;
    int64_t num_rows = 0;
    for (int64_t u = 0; u < num_units; ++u) {
        const int64_t first = start[u], last = start[u + 1];
        if (first == last) continue;
        T decay = 0;
        for (int64_t j = first; j < last; ++j) decay += g[by_unit[j]] * current[by_unit[j]];
        const T* __restrict__ w = weights + u * num_pixels;
        T* __restrict__ out = change + num_rows * num_pixels;
        for (int64_t j = first; j < last; ++j) {
            const T* __restrict__ x = v + image[by_unit[j]] * num_pixels;
            const T a = g[by_unit[j]];
            if (j == first)
                for (int64_t i = 0; i < num_pixels; ++i) out[i] = a * x[i];
            else
                for (int64_t i = 0; i < num_pixels; ++i) out[i] += a * x[i];
        }
        const T found = subtract_decay(decay, w, num_pixels, out);
        most = found > most ? found : most;
        rows[num_rows++] = u;
    }
    *largest = most;
    return num_rows;
}

#include "apply.hpp"
#include "soft.hpp"

}  // namespace

#define KERNELS(T, name)                                                                      \
    int64_t prepare_##name(const uint8_t* x, int64_t num_all, const int64_t* index,           \
                           int64_t num_images, int64_t num_pixels, const T* mean,             \
                           int64_t center, int64_t unit_norm, T* out) {                       \
        return prepare(x, num_all, index, num_images, num_pixels, mean, center, unit_norm,    \
                       out);                                                                  \
    }                                                                                         \
    int64_t rank_##name(const T* drive, int64_t num_images, int64_t num_units, int64_t from,  \
                        int64_t m, double delta, int64_t* image, int64_t* unit, T* g,         \
                        T* current) {                                                         \
        return rank(drive, num_images, num_units, from, m, delta, image, unit, g, current);   \
    }                                                                                         \
    int64_t settle_##name(const T* drive, int64_t num_images, int64_t num_units,              \
                          double w_inh, double h_star, double delta, int64_t* image,          \
                          int64_t* unit, T* g, T* current) {                                  \
        return settle(drive, num_images, num_units, w_inh, h_star, delta, image, unit, g,     \
                      current);                                                               \
    }                                                                                         \
    int64_t changes_##name(const int64_t* image, const int64_t* unit, const T* g,             \
                           const T* current, int64_t num_learners, const T* v,                \
                           const T* weights, int64_t num_units, int64_t num_pixels,           \
                           int64_t* rows, T* change, T* largest) {                            \
        return changes(image, unit, g, current, num_learners, v, weights, num_units,          \
                       num_pixels, rows, change, largest);                                    \
    }                                                                                         \
    void soft_##name(const T* drive, int64_t num_rows, int64_t num_units, double temperature, \
                     int64_t anti, double delta, T* g, T* decay) {                             \
        soft(drive, num_rows, num_units, temperature, anti, delta, g, decay);                  \
    }                                                                                          \
    double finish_##name(const T* decay, const T* weights, int64_t num_units,                  \
                         int64_t num_inputs, T* change) {                                      \
        return finish(decay, weights, num_units, num_inputs, change);                          \
    }                                                                                          \
    void apply_##name(const int64_t* rows, int64_t num_rows, const T* change, double factor,   \
                      double rate_power, int64_t num_pixels, double p, T* weights,             \
                      T* signed_powers) {                                                      \
        apply(rows, num_rows, change, factor, rate_power, num_pixels, p, weights,              \
              signed_powers);                                                                  \
    }

extern "C" {
KERNELS(float, float32)
KERNELS(double, float64)
}
