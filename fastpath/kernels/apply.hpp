// The change of the weights, and sign(W)|W|^(p-1) of the changed rows. Included by step.cpp.

template <class T>
void signed_power(const T* w, int64_t n, double p, T* out) {
    const double power = p - 1;
    if (power == 2) {
        for (int64_t i = 0; i < n; ++i) out[i] = w[i] * std::abs(w[i]);
    } else if (power == 1.5) {
        for (int64_t i = 0; i < n; ++i) out[i] = w[i] * std::sqrt(std::abs(w[i]));
    } else if (power == 3) {
        for (int64_t i = 0; i < n; ++i) out[i] = w[i] * w[i] * w[i];
    } else {
        for (int64_t i = 0; i < n; ++i)
            out[i] = std::copysign(std::pow(std::abs(w[i]), T(power)), w[i]);
    }
}

// |norm of w - 1|^power, with the p-norm.
template <class T>
T rate_of(const T* w, int64_t n, double p, double power) {
    const T total =
        p == 2 ? sum_of<T>(n, [w](int64_t i) { return w[i] * w[i]; })
               : sum_of<T>(n, [w, p](int64_t i) { return std::pow(std::abs(w[i]), T(p)); });
    return std::pow(std::abs(std::pow(total, T(1 / p)) - 1), T(power));
}

// W_u += factor * change_u, times |norm of W_u - 1|^rate_power, and sign(W)|W|^(p-1) of those
// rows where p != 2. Without `rows`, all of them.
template <class T>
void apply(const int64_t* rows, int64_t num_rows, const T* change, double factor,
           double rate_power, int64_t num_pixels, double p, T* weights, T* signed_powers) {
    for (int64_t r = 0; r < num_rows; ++r) {
        T* __restrict__ w = weights + (rows ? rows[r] : r) * num_pixels;
        const T* __restrict__ d = change + r * num_pixels;
        T f = factor;
        if (rate_power != 0) f *= rate_of(w, num_pixels, p, rate_power);
        for (int64_t i = 0; i < num_pixels; ++i) w[i] += f * d[i];
        if (p != 2) signed_power(w, num_pixels, p, signed_powers + (w - weights));
    }
}
