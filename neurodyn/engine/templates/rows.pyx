{# Synapses row by row: see rows.cpp. #}
{# USES_VARIABLES { N_pre, N_post } #}
{% extends 'common_group.pyx' %}

{% block template_support_code %}
cdef extern from *:
    """
    #pragma GCC optimize ("no-tree-pre")
    typedef double* __restrict double_alone;
    typedef float* __restrict float_alone;
    """
    ctypedef double* double_alone
    ctypedef float* float_alone
{% endblock %}

{% block maincode %}
    {% set row, column = ('pre', 'post') if by_source else ('post', 'pre') %}
    {% set sum = get_array_name(_target_var) if _target_var else none %}
    cdef int64_t _num_rows = {{constant_or_scalar('N_' + row, variables['N_' + row])}}
    cdef int64_t _num_columns = {{constant_or_scalar('N_' + column, variables['N_' + column])}}
    cdef int64_t _rows = _num_rows // {{num_blocks}}
    cdef int64_t _columns = _num_columns // {{num_blocks}}
    cdef int64_t _row, _column, _begin, _end, _first
    cdef int _part
    cdef double _sum

    # scalar code
    _vectorisation_idx = 1
    {{scalar_code['row']|autoindent}}
    {{scalar_code['synapse']|autoindent}}

    for _row in range(_num_rows):
        _{{row}}synaptic_idx = _row
        {{vector_code['row']|autoindent}}
        if _skip:
            continue
        _begin = _row // _rows * _columns
        _end = _begin + _columns
        _sum = 0
        {% if no_diagonal %}
        for _part in range(2):
          _first = _row * (_columns - 1) - _begin - _part
          for _column in range(_row + 1 if _part else _begin, _end if _part else _row):
        {% else %}
        if True:
          _first = _row * _columns - _begin
          for _column in range(_begin, _end):
        {% endif %}
            _idx = _first + _column
            _{{column}}synaptic_idx = _column
            _vectorisation_idx = _idx
            {{vector_code['synapse']|autoindent}}
            {% if sum %}
            _sum += _synaptic_var
            {% endif %}
        {% if sum %}
        {{sum}}[_row] = _sum
        {% endif %}
{% endblock %}
