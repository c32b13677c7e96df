#include <cstdint>

// sums[c] += Σ_k factors[k] rows[k][c] for c from begin to end. One pass over several rows
// reads memory in several streams, which is faster.
template <int width, typename Weight>
inline void add_part(double* __restrict sums, const Weight* const* rows, const double* factors,
                     const int64_t begin, const int64_t end)
{
    const Weight* row[width];
    double factor[width];
    for (int k = 0; k < width; k++) { row[k] = rows[k]; factor[k] = factors[k]; }
#pragma GCC ivdep
    for (int64_t c = begin; c < end; c++)
        for (int k = 0; k < width; k++)
            sums[c] += factor[k] * row[k][c];
}

// Rows that are added to sums, in groups.
template <typename Weight>
struct Rows
{
    static const int width = 8;
    const Weight* weights;
    double* sums;
    const int64_t rows, columns; // of a block
    const bool no_diagonal;
    int num_waiting;
    int64_t waiting[width];
    double factors[width];

    Rows(const Weight* weights, double* sums, int64_t rows, int64_t columns, bool no_diagonal)
        : weights(weights), sums(sums), rows(rows), columns(columns),
          no_diagonal(no_diagonal), num_waiting(0) {}

    void add(const int64_t row, const double factor)
    {
        if (num_waiting && waiting[0] / rows != row / rows) finish(); // of another block
        waiting[num_waiting] = row;
        factors[num_waiting++] = factor;
        if (num_waiting == width) add_waiting<width>(0);
    }

    void finish()
    {
        const int num = num_waiting;
        for (int k = 0; k < num; k++) add_waiting<1>(k);
    }

    template <int num>
    void add_waiting(const int first)
    {
        const int64_t* row = waiting + first;
        const double* factor = factors + first;
        const int64_t block = row[0] / rows;
        double* sum = sums + block * columns;
        const Weight* start[num]; // where the synapse with the first column is, or would be
        for (int k = 0; k < num; k++) start[k] = weights + row[k] * (columns - no_diagonal);
        int64_t begin = 0;
        for (int part = 0; no_diagonal && part < num; part++)
        {
            const int64_t diagonal = row[part] - block * rows;
            add_part<num>(sum, start, factor, begin, diagonal);
            for (int k = 0; k < num; k++)
                if (k != part) sum[diagonal] += factor[k] * start[k][diagonal];
            start[part]--; // this row has no synapse there
            begin = diagonal + 1;
        }
        add_part<num>(sum, start, factor, begin, columns);
        num_waiting = first + num < num_waiting ? num_waiting : 0;
    }
};
