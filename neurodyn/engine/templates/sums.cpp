{# Sums over all senders of weights times a factor of the sender. #}
{# USES_VARIABLES { N_pre, N_post, W } #}
{% extends 'common_group.cpp' %}

{% block extra_headers %}
{% include 'rows.h' %}
{% endblock %}

{% block maincode %}
    const int64_t _num_pre = {{constant_or_scalar('N_pre', variables['N_pre'])}};
    const int64_t _num_post = {{constant_or_scalar('N_post', variables['N_post'])}};
    double* _sums = {{get_array_name(_target_var)}};
    for (int64_t _column = 0; _column < _num_post; _column++)
        _sums[_column] = 0;

    // scalar code
    const size_t _vectorisation_idx = -1;
    {{scalar_code|autoindent}}

    Rows<{{c_data_type(variables['W'].dtype)}}> _rows(
        {{get_array_name(variables['W'])}}, _sums,
        _num_pre / {{num_blocks}}, _num_post / {{num_blocks}}, {{no_diagonal|int}});
    for (int64_t _presynaptic_idx = 0; _presynaptic_idx < _num_pre; _presynaptic_idx++)
    {
        {{vector_code|autoindent}}
        if (_factor != 0) _rows.add(_presynaptic_idx, _factor);
    }
    _rows.finish();
{% endblock %}
