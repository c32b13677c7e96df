{# Synapses row by row. A row has the synapses of one cell, with all cells of its block.
   A sum over the synapses of a row goes to the cell of the row, a receiver. #}
{# USES_VARIABLES { N_pre, N_post } #}
{% extends 'common_group.cpp' %}

{% block extra_headers %}
// Removal of partial redundancies leaves a branch in the loop, which then is not vectorised.
#pragma GCC optimize ("no-tree-pre")
{% endblock %}

{% block maincode %}
    {% set row, column = ('pre', 'post') if by_source else ('post', 'pre') %}
    {% set sum = get_array_name(_target_var) if _target_var else none %}
    const int64_t _num_rows = {{constant_or_scalar('N_' + row, variables['N_' + row])}};
    const int64_t _num_columns = {{constant_or_scalar('N_' + column, variables['N_' + column])}};
    const int64_t _rows = _num_rows / {{num_blocks}}, _columns = _num_columns / {{num_blocks}};

    // scalar code
    const size_t _vectorisation_idx = -1;
    {{scalar_code['row']|autoindent}}
    {{scalar_code['synapse']|autoindent}}

    {% if not by_source %}
    {{openmp_pragma('parallel-static')}}
    {% endif %}
    for (int64_t _row = 0; _row < _num_rows; _row++)
    {
        const int64_t _{{row}}synaptic_idx = _row;
        {
            {{vector_code['row']|autoindent}}
            if (_skip) continue;
        }
        const int64_t _begin = _row / _rows * _columns, _end = _begin + _columns;
        {% if sum %}
        double _sum = 0;
        {% endif %}
        {% if no_diagonal %}
        const int64_t _first = _row * (_columns - 1) - _begin;
        for (int _part = 0; _part < 2; _part++)
        for (int64_t _column = _part ? _row + 1 : _begin; _column < (_part ? _end : _row); _column++)
        {
            const int64_t _idx = _first + _column - _part;
        {% else %}
        const int64_t _first = _row * _columns - _begin;
        for (int64_t _column = _begin; _column < _end; _column++)
        {
            const int64_t _idx = _first + _column;
        {% endif %}
            const int64_t _{{column}}synaptic_idx = _column;
            const size_t _vectorisation_idx = _idx;
            {{vector_code['synapse']|autoindent}}
            {% if sum %}
            _sum += _synaptic_var;
            {% endif %}
        }
        {% if sum %}
        {{sum}}[_row] = _sum;
        {% endif %}
    }
{% endblock %}
