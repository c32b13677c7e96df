// The soft competition and the change of all units, in two passes over memory: one over the
// drive, one over the product of g and the inputs. Included by step.cpp.

// e^x for x <= 0, to one unit in the last place. Written out, because compilers do not
// vectorize std::exp. Source of the polynomial: S. L. Moshier, Cephes library, expf.
inline float exp_of(float x) {
    x = x > -87.0f ? x : -87.0f;
    const float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    const float n = (x * 1.44269504f + round) - round;
    x -= n * 0.693359375f;
    x -= n * -2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * x + 1.3981999507e-3f;
    y = y * x + 8.3334519073e-3f;
    y = y * x + 4.1665795894e-2f;
    y = y * x + 1.6666665459e-1f;
    y = y * x + 5.0000001201e-1f;
    y = y * x * x + x + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return y * power;
}

inline double exp_of(double x) { return std::exp(x); }

// SoftHebb: g = softmax of drive / temperature over the units; with `anti`, -delta g for all but
// the unit of the largest drive. decay becomes Sum_b g I, for each unit.
template <class T>
void soft(const T* drive, int64_t num_rows, int64_t num_units, double temperature, int64_t anti,
          double delta, T* __restrict__ g, T* __restrict__ decay) {
    constexpr int64_t TOGETHER = 64;  // rows that are summed up in T, then in double
    std::vector<double> total(num_units);
    const T scale = T(1 / temperature);
    std::fill(decay, decay + num_units, T(0));
    for (int64_t b = 0; b < num_rows; ++b) {
        const T* __restrict__ row = drive + b * num_units;
        T* __restrict__ out = g + b * num_units;
        const T most = largest_of(row, num_units);
        for (int64_t u = 0; u < num_units; ++u) out[u] = exp_of((row[u] - most) * scale);
        const T sum = sum_of<T>(num_units, [out](int64_t u) { return out[u]; });
        const T share = (anti ? T(-delta) : T(1)) / sum;
        for (int64_t u = 0; u < num_units; ++u) out[u] *= share;
        if (anti) {
            const int64_t winner = std::find(row, row + num_units, most) - row;
            if (winner < num_units) out[winner] = T(1) / sum;  // there is none among NaN
        }
        for (int64_t u = 0; u < num_units; ++u) decay[u] += out[u] * row[u];
        if (b % TOGETHER == TOGETHER - 1 || b == num_rows - 1)
            for (int64_t u = 0; u < num_units; ++u) {
                total[u] += decay[u];
                decay[u] = 0;
            }
    }
    for (int64_t u = 0; u < num_units; ++u) decay[u] = T(total[u]);
}

// change_u -= decay_u W_u for all units; returns the largest |change|.
template <class T>
double finish(const T* decay, const T* weights, int64_t num_units, int64_t num_inputs,
              T* change) {
    T most = 0;
    for (int64_t u = 0; u < num_units; ++u) {
        const T found = subtract_decay(decay[u], weights + u * num_inputs, num_inputs,
                                       change + u * num_inputs);
        most = found > most || found != found ? found : most;
    }
    return most;
}
