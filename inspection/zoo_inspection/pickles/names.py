"""How bad it is that a pickle imports a Python name."""

import re

from zoo_inspection.findings import Severity

ALLOWED = re.compile(
    r"""
      _codecs\.encode | argparse\.Namespace | collections\.(Counter|OrderedDict|defaultdict)
    | numpy\.(dtype|ndarray) | numpy\._?core\.multiarray\.(_reconstruct|scalar)
    | torch\.(Size|Tensor|device) | torch\.nn\.parameter\.Parameter | torch\.serialization\._get_layout
    | torch\.storage\.(Typed|Untyped)Storage
    | torch\.(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool|QInt8|QUInt8|QInt32)Storage
    | torch\.(b?float16|float32|float64|u?int8|int16|int32|int64|bool|float|half|double|quint8|qint8|qint32)
    | torch\.(per_tensor|per_channel)_(affine|symmetric)
    | torch\._utils\._rebuild_((q|sparse_)?tensor(_v[23])?|parameter(_with_state)?|device_tensor_from_numpy)
    | torch\.jit\._pickle\.build_(int|double|bool|tensor)list
    | (builtins|__builtin__)\.(
        set|frozenset|dict|list|tuple|int|float|complex|bool|str|bytes|bytearray|slice|range|object
      )
    """,
    re.VERBOSE,
)
"""What the state of a model or an array needs, and what runs nothing by being called."""
DANGEROUS_MODULES = re.compile(
    r"""(
      os | posix | nt | ntpath | posixpath | subprocess | sys | socket | socketserver | shutil | pty | ctypes | _ctypes
    | runpy | importlib | imp | code | codeop | codecs | commands | webbrowser | multiprocessing | concurrent | asyncio
    | signal | tempfile
    | pathlib(?!\.(Pure)?(Posix|Windows)?Path$)
    | _?io | builtins | __builtin__ | operator | _operator | functools | _functools
    | itertools | pickle | _pickle | pickletools | cPickle | dill | cloudpickle | joblib | marshal | shelve
    | types | inspect | pdb | bdb | trace | doctest | timeit | c?[pP]rofile | pip | ensurepip | setuptools | distutils
    | ssl | https? | urllib\d? | requests | httplib | httpx | aiohttp | ftplib | smtplib | telnetlib | xmlrpc
    | platform | site | venv | zipimport | pkgutil | gc | threading | _thread | atexit | cffi | sqlite3 | linecache
    | logging | glob | fileinput | zipfile | tarfile | getpass | gzip | bz2 | lzma | readline | idlelib | lib2to3
    | numpy\.(f2py|testing|distutils|lib|load|loadtxt|fromfile|memmap|genfromtxt) | torch\.(hub|serialization|storage)
    | torch\.(load|save|classes|ops|_dynamo|_inductor|multiprocessing|package|compile|from_file)
    | torch\.utils\.(cpp_extension|model_zoo|data|bottleneck|collect_env)
    | torch\.distributed\.(rpc|elastic|launch|run)
    | torch\.jit\.(load|save|unsupported_tensor_ops)
    )(\..*)?""",
    re.VERBOSE,
)
"""Modules (and names) that start processes, open files and connections, or evaluate code."""
DANGEROUS_PARTS = frozenset(
    {
        "os", "_os", "sys", "_sys", "system", "popen", "subprocess", "eval", "exec", "execfile", "compile", "builtins",
        "importlib", "import_module", "shutil", "socket", "ctypes", "pickle", "marshal", "open", "getattr", "run_path",
    }
)  # fmt: skip
"""A dotted name may walk through a harmless module to these (``torch.os.system``)."""
TORCHSCRIPT_CLASS = re.compile(r"__torch__(\.[A-Za-z_][A-Za-z0-9_]*)+")


def severity_of(name: str) -> Severity:
    """How bad it is that a pickle imports this name.  ``?`` stands for a part that the pickle computes."""
    if ALLOWED.fullmatch(name):
        return "clean"
    parts = name.split(".")[1:]
    walks = any(part in DANGEROUS_PARTS or (part.startswith("__") and part != "__init__") for part in parts)
    return "dangerous" if walks or "?" in name or DANGEROUS_MODULES.fullmatch(name) else "suspicious"
