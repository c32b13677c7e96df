{# Sums over all senders of weights times a factor of the sender: a thread for each sum. #}
{# USES_VARIABLES { N_pre, N_post, W } #}
{% extends 'common_group.cu' %}

{% set _pre_size = constant_or_scalar('N_pre', variables['N_pre']) %}
{% set _post_size = constant_or_scalar('N_post', variables['N_post']) %}

{% block define_N %}
const int _N = {{_post_size}};
{% endblock %}

{% block kernel_maincode %}
    const int64_t _rows = {{_pre_size}} / {{num_blocks}}, _columns = {{_post_size}} / {{num_blocks}};
    const int64_t _column = _idx, _block = _idx / _columns;
    const int64_t _length = _columns - {{no_diagonal|int}};
    double _sum = 0;

    ///// scalar_code /////
    {{scalar_code|autoindent}}

    for (int64_t _row = _block * _rows; _row < (_block + 1) * _rows; _row++)
    {
        const int64_t _presynaptic_idx = _row;
        {{vector_code|autoindent}}
        {% if no_diagonal %}
        if (_row == _column) continue;
        {% endif %}
        const int64_t _at = _row * _length + _column - _block * _columns{{' - (_column > _row)' if no_diagonal}};
        if (_factor != 0)
            _sum += _factor * {{get_array_name(variables['W'])}}[_at];
    }
    {{get_array_name(_target_var)}}[_column] = _sum;
{% endblock %}
