"""Contracts: the file that makes a model public.

``document`` is the shape of ``contract.yaml``, ``reader`` turns a file into it and names every
fault with its line, ``rules`` names every fault beyond the shape, and ``compiler`` makes from it
what a request needs: ``inputs`` validates, ``tensors`` encodes, ``answers`` decodes.
``repository`` walks a model repository; ``check`` holds contracts against ``config.pbtxt`` and
Triton's metadata.
"""
