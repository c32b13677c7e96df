{# Synapses row by row: see rows.cpp. A warp sums a row; without a sum, a thread has a column. #}
{# USES_VARIABLES { N_pre, N_post } #}
{% extends 'common_group.cu' %}

{% set _this, _other = ('pre', 'post') if by_source else ('post', 'pre') %}
{% set _row_size = constant_or_scalar('N_' + _this, variables['N_' + _this]) %}
{% set _column_size = constant_or_scalar('N_' + _other, variables['N_' + _other]) %}

{% block define_N %}
const int _N = {{_row_size if _target_var else _column_size}}{{' * 32' if _target_var}};
{% endblock %}

{% block modify_kernel_dimensions %}
// whole warps
num_threads = (num_threads + 31) / 32 * 32;
num_blocks = (_N + num_threads - 1) / num_threads;
{% endblock %}

{% block kernel_maincode %}
    const int64_t _rows = {{_row_size}} / {{num_blocks}}, _columns = {{_column_size}} / {{num_blocks}};
    {% if _target_var %}
    const int64_t _begin_row = _idx / 32, _end_row = _begin_row + 1;
    const int64_t _block = _begin_row / _rows;
    const int64_t _begin = _block * _columns + _idx % 32, _end = (_block + 1) * _columns;
    double _sum = 0;
    {% else %}
    const int64_t _begin = _idx, _end = _idx + 1;
    const int64_t _block = _begin / _columns;
    const int64_t _begin_row = _block * _rows, _end_row = _begin_row + _rows;
    {% endif %}

    ///// scalar_code /////
    {{scalar_code['row']|autoindent}}
    {{scalar_code['synapse']|autoindent}}

    for (int64_t _row = _begin_row; _row < _end_row; _row++)
    {
        const int64_t _{{_this}}synaptic_idx = _row;
        {
            {{vector_code['row']|autoindent}}
            if (_skip) continue;
        }
        for (int64_t _column = _begin; _column < _end; _column += 32)
        {
            const int64_t _{{_other}}synaptic_idx = _column;
            {% if no_diagonal %}
            if (_column == _row) continue;
            const int64_t _idx = _row * (_columns - 1) + _column - _block * _columns - (_column > _row);
            {% else %}
            const int64_t _idx = _row * _columns + _column - _block * _columns;
            {% endif %}
            {{vector_code['synapse']|autoindent}}
            {% if _target_var %}
            _sum += _synaptic_var;
            {% endif %}
        }
        {% if _target_var %}
        for (int _apart = 16; _apart; _apart /= 2)
            _sum += __shfl_down_sync(0xffffffff, _sum, _apart);
        if (_idx % 32 == 0) {{get_array_name(_target_var)}}[_row] = _sum;
        {% endif %}
    }
{% endblock %}
