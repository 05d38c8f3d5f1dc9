"""What is read from volumes, in which order, and how it is augmented.

In the order of the data: ``scans`` finds a run's scans, ``dataset`` reads their windows, ``batch_order``
draws them, ``loader`` reads ahead in worker processes, ``training_input`` augments them
(``augmentation``) and makes them the model's input (``display_window``); on a GPU one kernel does the
latter (``device_input``, ``input_kernel``). ``generated_clips`` are the videos of pretraining.
"""
