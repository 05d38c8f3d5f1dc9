"""Adam without torch's compiler."""

import inspect

import torch


class Adam(torch.optim.Adam):
    """Adam, whose numbers are those of ``torch.optim.Adam``.

    Torch wraps methods of its optimisers to keep its compiler out of them, and to do so imports it, which
    takes nearly as long as torch itself. An optimiser is never compiled here (a model may be, see
    ``TrainingSettings.compile``), and many runs are short: these methods are the ones inside the wrappers.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
