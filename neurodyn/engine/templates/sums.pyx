{# Sums over all senders of weights times a factor of the sender. #}
{# USES_VARIABLES { N_pre, N_post, W } #}
{% extends 'rows.pyx' %}

{% block template_support_code %}
cdef extern from *:
    """
{% include 'rows.h' %}
    """
    cdef cppclass Rows[T]:
        Rows(T*, double*, int64_t, int64_t, bool)
        void add(int64_t, double)
        void finish()
{{ super() }}
{% endblock %}

{% block maincode %}
    cdef int64_t _num_pre = {{constant_or_scalar('N_pre', variables['N_pre'])}}
    cdef int64_t _num_post = {{constant_or_scalar('N_post', variables['N_post'])}}
    cdef int64_t _row, _column
    for _column in range(_num_post):
        {{get_array_name(_target_var)}}[_column] = 0

    # scalar code
    _vectorisation_idx = 1
    {{scalar_code|autoindent}}

    cdef Rows[{{cpp_dtype(variables['W'].dtype)}}]* _rows = new Rows[{{cpp_dtype(variables['W'].dtype)}}](
        {{get_array_name(variables['W'])}}, {{get_array_name(_target_var)}},
        _num_pre // {{num_blocks}}, _num_post // {{num_blocks}}, {{no_diagonal}})
    for _row in range(_num_pre):
        _presynaptic_idx = _row
        {{vector_code|autoindent}}
        if _factor != 0:
            _rows.add(_row, _factor)
    _rows.finish()
    del _rows
{% endblock %}
