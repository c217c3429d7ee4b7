"""Running cells in real kernels of a real server."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import signal
import time
from typing import Any

import httpx
import nbformat
import pytest
from conftest import write_notebook
from live import LiveServer, ToolFailed, wait_until


def text(outputs: list[dict[str, Any]]) -> str:
    return "".join(output["content"].get("text", "") for output in outputs if output["type"] == "stream")


def kernel_pid(live: LiveServer, path: str) -> int:
    live.call("cell_insert", path=path, index=-1, source="import os; print(os.getpid())")
    pid = int(text(live.call("cell_execute", path=path, index=-1)))
    live.call("cell_delete", path=path, index=-1)
    return pid


def test_outputs_are_returned_and_on_disk(live: LiveServer) -> None:
    write_notebook(live.workspace / "run.ipynb", "print('hello')\n1 + 1", "1 / 0")
    answer = live.structured("cell_execute", path="run.ipynb", index=0)
    assert answer["result"] == [
        {"type": "stream", "content": {"name": "stdout", "text": "hello\n"}},
        {
            "type": "execute_result",
            "content": {"data": {"text/plain": "2"}, "metadata": {}, "execution_count": 1},
        },
    ]
    assert (answer["status"], answer["saved"], answer["execution_count"]) == ("ok", True, 1)
    cell = live.on_disk("run.ipynb")["cells"][0]
    assert cell["execution_count"] == 1
    assert [output["output_type"] for output in cell["outputs"]] == ["stream", "execute_result"]

    failed = live.structured("cell_execute", path="run.ipynb", index=1)
    assert failed["status"] == "error"
    assert failed["result"][0]["type"] == "error"
    assert failed["result"][0]["content"]["ename"] == "ZeroDivisionError"
    assert "\x1b" not in "".join(failed["result"][0]["content"]["traceback"])
    nbformat.validate(live.on_disk("run.ipynb"))


def test_a_second_run_replaces_the_outputs(live: LiveServer) -> None:
    write_notebook(live.workspace / "again.ipynb", "n = globals().get('n', 0) + 1; print(n)")
    for wanted in ("1\n", "2\n", "3\n"):
        assert text(live.call("cell_execute", path="again.ipynb", index=0)) == wanted
    assert len(live.on_disk("again.ipynb")["cells"][0]["outputs"]) == 1


def test_one_kernel_however_many_start_it(live: LiveServer) -> None:
    count = 8
    write_notebook(live.workspace / "many.ipynb", *["import os; print(os.getpid())"] * count)

    def run(index: int) -> str:
        headers, body = live.message(
            "tools/call", {"name": "cell_execute", "arguments": {"path": "many.ipynb", "index": index}}
        )
        return text(
            httpx.post(live.mcp_url, headers=headers, json=body, timeout=90).json()["result"]["structuredContent"][
                "result"
            ]
        )

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        pids = set(pool.map(run, range(count)))
    assert len(pids) == 1
    counts = sorted(cell["execution_count"] for cell in live.on_disk("many.ipynb")["cells"])
    assert counts == list(range(1, count + 1))
    sessions = httpx.get(f"{live.url}api/sessions", headers=live.headers).json()
    assert [session["path"] for session in sessions].count("many.ipynb") == 1


def test_the_browser_finds_the_same_kernel(live: LiveServer) -> None:
    """JupyterLab looks for the session of the notebook's path; one that it has started is used here."""
    write_notebook(live.workspace / "shared.ipynb", "print(1)")
    body = {"path": "shared.ipynb", "name": "shared.ipynb", "type": "notebook", "kernel": {"name": "python3"}}
    session = httpx.post(f"{live.url}api/sessions", headers=live.headers, json=body, timeout=30).json()
    assert text(live.call("cell_execute", path="shared.ipynb", index=0)) == "1\n"
    sessions = httpx.get(f"{live.url}api/sessions", headers=live.headers).json()
    assert [found["id"] for found in sessions if found["path"] == "shared.ipynb"] == [session["id"]]


def test_only_code_cells_run(live: LiveServer) -> None:
    write_notebook(live.workspace / "types.ipynb", "1")
    for cell_type in ("markdown", "raw"):
        live.call("cell_update", path="types.ipynb", index=0, source="x", cell_type=cell_type)
        with pytest.raises(ToolFailed, match="Only code cells"):
            live.call("cell_execute", path="types.ipynb", index=0)


def test_input_fails_at_once(live: LiveServer) -> None:
    write_notebook(live.workspace / "input.ipynb", "input('name? ')", "print('next')")
    started = time.monotonic()
    answer = live.structured("cell_execute", path="input.ipynb", index=0)
    assert time.monotonic() - started < 20
    assert answer["status"] == "error"
    assert answer["result"][-1]["content"]["ename"] == "StdinNotImplementedError"
    assert text(live.call("cell_execute", path="input.ipynb", index=1)) == "next\n"


def test_runs_queue_in_order(live: LiveServer) -> None:
    sources = [
        f"import time; time.sleep(0.1); order = globals().get('order', []) + [{n}]; print(order)" for n in range(5)
    ]
    write_notebook(live.workspace / "queue.ipynb", *sources)
    ids = [
        live.structured("cell_execute", path="queue.ipynb", index=index, timeout=0)["execution_id"]
        for index in range(5)
    ]
    last = live.structured("execution_get", execution_id=ids[-1], timeout=30)
    assert last["status"] == "ok"
    assert text(last["result"]) == "[0, 1, 2, 3, 4]\n"


def test_timeout_lets_the_cell_run_on(live: LiveServer) -> None:
    write_notebook(live.workspace / "slow.ipynb", "import time\nprint('a', flush=True)\ntime.sleep(2)\nprint('b')")
    started = time.monotonic()
    answer = live.structured("cell_execute", path="slow.ipynb", index=0, timeout=1)
    assert time.monotonic() - started < 15
    status = answer["result"][-1]
    assert status["type"] == "status"
    assert status["content"]["execution_id"] == answer["execution_id"]
    assert answer["status"] in ("running", "queued") and answer["saved"] is None
    final = live.structured("execution_get", execution_id=answer["execution_id"], timeout=30)
    assert (final["status"], text(final["result"]), final["saved"]) == ("ok", "a\nb\n", True)
    assert live.on_disk("slow.ipynb")["cells"][0]["outputs"][0]["text"] == ["a\n", "b\n"]


def test_timeout_interrupts_when_asked(live: LiveServer) -> None:
    write_notebook(live.workspace / "stop.ipynb", "1", "import time\ntime.sleep(60)")
    live.call("cell_execute", path="stop.ipynb", index=0)
    started = time.monotonic()
    answer = live.structured("cell_execute", path="stop.ipynb", index=1, timeout=1, on_timeout="interrupt")
    assert time.monotonic() - started < 10
    assert answer["status"] == "error"
    assert answer["result"][0]["content"]["ename"] == "KeyboardInterrupt"
    assert "Interrupted after 1 seconds" in answer["result"][-1]["content"]["message"]


def test_interrupt_and_restart(live: LiveServer) -> None:
    write_notebook(live.workspace / "kernel.ipynb", "x = 1", "import time\ntime.sleep(60)", "print(x)")
    with pytest.raises(ToolFailed, match="No kernel is running"):
        live.call("kernel_interrupt", path="kernel.ipynb")
    live.call("cell_execute", path="kernel.ipynb", index=0)
    running = live.structured("cell_execute", path="kernel.ipynb", index=1, timeout=0.5)
    assert live.call("kernel_interrupt", path="./kernel.ipynb") == "Kernel interrupted"
    ended = live.structured("execution_get", execution_id=running["execution_id"], timeout=10)
    assert ended["result"][0]["content"]["ename"] == "KeyboardInterrupt"
    assert text(live.call("cell_execute", path="kernel.ipynb", index=2)) == "1\n", "variables stay"

    running = live.structured("cell_execute", path="kernel.ipynb", index=1, timeout=0.5)
    assert live.call("kernel_restart", path="kernel.ipynb") == "Kernel restarted"
    ended = live.result("execution_get", execution_id=running["execution_id"], timeout=10)
    assert ended["isError"] and "restarted" in ended["content"][0]["text"]
    after = live.structured("cell_execute", path="kernel.ipynb", index=2)
    assert after["result"][0]["content"]["ename"] == "NameError", "variables are gone"


def test_a_dying_kernel_is_reported_within_seconds(live: LiveServer) -> None:
    write_notebook(
        live.workspace / "dead.ipynb", "x = 1", "print('so far', flush=True)\nimport os, time\ntime.sleep(60)", "2"
    )
    pid = kernel_pid(live, "dead.ipynb")
    running = live.structured("cell_execute", path="dead.ipynb", index=1, timeout=1)
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    ended = live.result("execution_get", execution_id=running["execution_id"], timeout=30)
    assert time.monotonic() - started < 5
    assert ended["isError"]
    assert "the kernel died" in ended["content"][0]["text"] and "so far" in ended["content"][0]["text"]
    # The caller knows; the kernel that Jupyter starts in its place is used without another word.
    assert live.structured("cell_execute", path="dead.ipynb", index=2)["status"] == "ok"
    nbformat.validate(live.on_disk("dead.ipynb"))


def test_a_kernel_that_died_unseen_is_not_replaced_silently(live: LiveServer) -> None:
    write_notebook(live.workspace / "unseen.ipynb", "print('ran')")
    pid = kernel_pid(live, "unseen.ipynb")
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = live.result("cell_execute", path="unseen.ipynb", index=0)
        if answer.get("isError"):
            break
    assert answer["isError"] and "variables are gone" in answer["content"][0]["text"]
    assert "ran" not in json.dumps(live.on_disk("unseen.ipynb")["cells"][0]["outputs"])
    assert text(live.call("cell_execute", path="unseen.ipynb", index=0)) == "ran\n"


def test_a_kernel_restarted_by_somebody_else_is_told(live: LiveServer) -> None:
    write_notebook(live.workspace / "else.ipynb", "print('ran')")
    live.call("cell_execute", path="else.ipynb", index=0)
    sessions = httpx.get(f"{live.url}api/sessions", headers=live.headers).json()
    kernel = next(session["kernel"]["id"] for session in sessions if session["path"] == "else.ipynb")
    httpx.post(f"{live.url}api/kernels/{kernel}/restart", headers=live.headers, timeout=30).raise_for_status()
    with pytest.raises(ToolFailed, match="restarted"):
        live.call("cell_execute", path="else.ipynb", index=0)
    assert text(live.call("cell_execute", path="else.ipynb", index=0)) == "ran\n"


def test_nothing_that_a_new_process_of_the_kernel_prints_is_lost(live: LiveServer) -> None:
    """It has the old one's addresses, and for a moment nobody listens to its outputs."""
    write_notebook(live.workspace / "fresh.ipynb", "import os\nprint(os.getpid())")
    seen = {text(live.call("cell_execute", path="fresh.ipynb", index=0))}
    for _ in range(4):
        live.call("kernel_restart", path="fresh.ipynb")
        seen.add(text(live.call("cell_execute", path="fresh.ipynb", index=0)))
    assert len(seen - {""}) == 5


def test_an_unknown_kernel_is_named(live: LiveServer) -> None:
    write_notebook(live.workspace / "spec.ipynb", "1", kernelspec={"name": "cobol", "display_name": "COBOL"})
    with pytest.raises(ToolFailed, match="'cobol', which is not installed.*python3"):
        live.call("cell_execute", path="spec.ipynb", index=0)


def test_outputs_go_to_the_cell_by_id(live: LiveServer) -> None:
    """Cells are inserted above while it runs; the outputs still end up in the right one."""
    source = "import time\nfor i in range(6):\n    print(i, flush=True)\n    time.sleep(0.3)"
    write_notebook(live.workspace / "byid.ipynb", source)
    running = live.structured("cell_execute", path="byid.ipynb", index=0, timeout=0.2)
    for number in range(3):
        live.call("cell_insert", path="byid.ipynb", index=0, source=f"# {number}")
    live.call("cell_move", path="byid.ipynb", index=-1, to=1)
    ended = live.structured("execution_get", execution_id=running["execution_id"], timeout=30)
    assert ended["status"] == "ok"
    cells = live.on_disk("byid.ipynb")["cells"]
    assert [bool(cell["outputs"]) for cell in cells] == [False, True, False, False]
    assert "".join(cells[1]["outputs"][0]["text"]) == "0\n1\n2\n3\n4\n5\n"


def test_what_a_cell_showed_before_is_gone_while_it_runs_again(live: LiveServer) -> None:
    write_notebook(live.workspace / "rerun.ipynb", "print('first')")
    live.call("cell_execute", path="rerun.ipynb", index=0)
    assert live.structured("cell_get", path="rerun.ipynb", index=0)["outputs"][0]["text"] == "first\n"
    source = "import os, time\nwhile not os.path.exists('go on'):\n    time.sleep(0.05)"
    live.call("cell_update", path="rerun.ipynb", index=0, source=source)
    running = live.structured("cell_execute", path="rerun.ipynb", index=0, timeout=0)
    wait_until(lambda: live.structured("cell_get", path="rerun.ipynb", index=0)["outputs"] == [])
    assert live.structured("cell_get", path="rerun.ipynb", index=0)["execution_count"] is None
    (live.workspace / "go on").touch()
    ended = live.structured("execution_get", execution_id=running["execution_id"], timeout=30)
    assert ended["status"] == "ok"
    cell = live.on_disk("rerun.ipynb")["cells"][0]
    assert (cell["outputs"], cell["execution_count"]) == ([], 2)


def test_a_cell_deleted_while_it_runs(live: LiveServer) -> None:
    write_notebook(live.workspace / "gone.ipynb", "import time\ntime.sleep(1)\nprint('kept')", "2")
    live.call("cell_execute", path="gone.ipynb", index=1)
    running = live.structured("cell_execute", path="gone.ipynb", index=0, timeout=0.3)
    live.call("cell_delete", path="gone.ipynb", index=0)
    ended = live.structured("execution_get", execution_id=running["execution_id"], timeout=30)
    assert text(ended["result"]) == "kept\n"
    assert live.sources("gone.ipynb") == ["2"]


DISPLAYS = """
from IPython.display import display, clear_output, HTML
handle = display('first', display_id='d')
print('between')
handle.update('second')
"""


def test_displays_and_clear_output(live: LiveServer) -> None:
    write_notebook(
        live.workspace / "display.ipynb",
        DISPLAYS,
        "handle.update('third')",
        "print('old'); clear_output(); print('new')",
        "print('old'); clear_output(wait=True)\nimport time; time.sleep(0.2)\nprint('new')",
        "print('old'); clear_output()",
    )
    live.call("cell_execute", path="display.ipynb", index=0)
    outputs = live.on_disk("display.ipynb")["cells"][0]["outputs"]
    assert [output["output_type"] for output in outputs] == ["display_data", "stream"]
    assert outputs[0]["data"]["text/plain"] == ["'second'"]
    live.call("cell_execute", path="display.ipynb", index=1)
    cells = live.on_disk("display.ipynb")["cells"]
    assert cells[0]["outputs"][0]["data"]["text/plain"] == ["'third'"], "updated from another cell"
    assert cells[1]["outputs"] == []
    for index, wanted in ((2, "new\n"), (3, "new\n"), (4, "")):
        assert text(live.call("cell_execute", path="display.ipynb", index=index)) == wanted
        on_disk = live.on_disk("display.ipynb")["cells"][index]["outputs"]
        assert "".join("".join(output["text"]) for output in on_disk) == wanted
    nbformat.validate(live.on_disk("display.ipynb"))


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(2000)).decode()


def test_images_are_image_content(live: LiveServer) -> None:
    source = (
        f"from IPython.display import display\ndisplay({{'image/png': '{PNG}', 'text/plain': 'a figure'}}, raw=True)"
    )
    write_notebook(live.workspace / "image.ipynb", source)
    answer = live.result("cell_execute", path="image.ipynb", index=0)
    images = [block for block in answer["content"] if block["type"] == "image"]
    assert [(image["mimeType"], image["data"]) for image in images] == [("image/png", PNG)]
    assert PNG not in answer["content"][0]["text"]
    again = live.result("cell_get", path="image.ipynb", index=0)
    assert [block["type"] for block in again["content"]] == ["text", "image"]
    assert live.on_disk("image.ipynb")["cells"][0]["outputs"][0]["data"]["image/png"].replace("\n", "") == PNG


def test_a_flood_is_cut_for_the_agent_and_kept_in_the_notebook(live: LiveServer) -> None:
    lines = 200_000
    write_notebook(live.workspace / "flood.ipynb", f"for i in range({lines}): print('line', i)")
    answer = live.structured("cell_execute", path="flood.ipynb", index=0, output_bytes=2000)
    assert answer["status"] == "ok"
    shown = text(answer["result"])
    assert shown.startswith("line 0\n") and shown.endswith(f"line {lines - 1}\n")
    assert len(shown.encode()) < 2200
    assert f"{answer['omitted_bytes']} bytes left out" in shown
    whole = "".join(live.on_disk("flood.ipynb")["cells"][0]["outputs"][0]["text"])
    assert whole == "".join(f"line {number}\n" for number in range(lines))
    assert answer["omitted_bytes"] > len(whole) - 2100


def test_a_progress_bar_shows_its_last_state(live: LiveServer) -> None:
    write_notebook(
        live.workspace / "bar.ipynb", r"for i in range(100): print(f'\r{i}%', end='')" + "\nprint('\\rdone')"
    )
    assert text(live.call("cell_execute", path="bar.ipynb", index=0)) == "done\n"


def test_full_output_page_by_page(live: LiveServer) -> None:
    write_notebook(live.workspace / "pages.ipynb", "print('é' * 30_000)")
    run = live.structured("cell_execute", path="pages.ipynb", index=0)
    collected, offset = b"", 0
    pages = 0
    while offset is not None:
        page = live.call("execution_get", execution_id=run["execution_id"], offset=offset, output_bytes=10_000)[0][
            "content"
        ]
        collected += page["text"].encode()
        offset = page["next_offset"]
        pages += 1
    assert pages > 3
    outputs = json.loads(collected)
    assert outputs[0]["content"]["text"] == "é" * 30_000 + "\n"


def test_a_caller_that_leaves_does_not_stop_the_cell(live: LiveServer) -> None:
    write_notebook(live.workspace / "left.ipynb", "1", "import time\ntime.sleep(2)\nprint('finished')")
    live.call("cell_execute", path="left.ipynb", index=0)
    headers, body = live.message(
        "tools/call", {"name": "cell_execute", "arguments": {"path": "left.ipynb", "index": 1}}
    )
    with pytest.raises(httpx.TimeoutException):
        httpx.post(live.mcp_url, headers=headers, json=body, timeout=0.7)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        outputs = live.on_disk("left.ipynb")["cells"][1]["outputs"]
        if outputs:
            break
        time.sleep(0.1)
    assert outputs[0]["text"] == ["finished\n"]
    assert live.request("ping") == {}


def test_what_threads_print_later_reaches_the_cell(live: LiveServer) -> None:
    source = (
        "import threading, time\n"
        "def later():\n    time.sleep(1)\n    print('later', flush=True)\n"
        "threading.Thread(target=later).start()\nprint('now')"
    )
    write_notebook(live.workspace / "threads.ipynb", "1", source)
    live.call("cell_execute", path="threads.ipynb", index=0)
    assert text(live.call("cell_execute", path="threads.ipynb", index=1)) == "now\n"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        cell = live.call("cell_get", path="threads.ipynb", index=1)
        if "later" in json.dumps(cell["outputs"]):
            break
        time.sleep(0.1)
    assert cell["outputs"][0]["text"] == "now\nlater\n"


def test_a_renamed_notebook_keeps_its_kernel(live: LiveServer) -> None:
    write_notebook(live.workspace / "before.ipynb", "x = 41", "print(x + 1)")
    live.call("cell_execute", path="before.ipynb", index=0)
    body = {"path": "after.ipynb"}
    httpx.patch(f"{live.url}api/contents/before.ipynb", headers=live.headers, json=body).raise_for_status()
    assert text(live.call("cell_execute", path="after.ipynb", index=1)) == "42\n"
    sessions = httpx.get(f"{live.url}api/sessions", headers=live.headers).json()
    paths = [session["path"] for session in sessions]
    assert "after.ipynb" in paths and "before.ipynb" not in paths


def test_a_tab_that_starts_a_kernel_meanwhile_gets_the_notebooks_own(live: LiveServer) -> None:
    """JupyterLab starts a kernel under a random path and names the notebook afterwards; the agent may be faster."""
    write_notebook(live.workspace / "join.ipynb", "import os; print(os.getpid())")
    body = {"path": "join-1234.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
    tab = httpx.post(f"{live.url}api/sessions", headers=live.headers, json=body, timeout=30).json()
    pid = text(live.call("cell_execute", path="join.ipynb", index=0))
    change = {"path": "join.ipynb", "name": "join.ipynb"}
    answer = httpx.patch(f"{live.url}api/sessions/{tab['id']}", headers=live.headers, json=change, timeout=30).json()
    assert answer["kernel"]["id"] != tab["kernel"]["id"]
    sessions = httpx.get(f"{live.url}api/sessions", headers=live.headers).json()
    assert [found["kernel"]["id"] for found in sessions if found["path"] == "join.ipynb"] == [answer["kernel"]["id"]]
    assert text(live.call("cell_execute", path="join.ipynb", index=0)) == pid, "still the same kernel, and no warning"


def test_runs_save_together_and_each_answer_is_on_disk(live: LiveServer) -> None:
    """The next cell runs while the outputs of the one before are saved; `saved` means this run's outputs."""
    count, each = 4, 12
    write_notebook(
        live.workspace / "together.ipynb", *(f"n{i} = globals().get('n{i}', 0) + 1; n{i}" for i in range(count))
    )
    live.call("cell_execute", path="together.ipynb", index=0)

    def shown(index: int) -> str:
        outputs = live.on_disk("together.ipynb")["cells"][index]["outputs"]
        return "".join(outputs[0]["data"]["text/plain"]) if outputs else "nothing"

    def client(index: int) -> list[tuple[str, str]]:
        seen = []
        with httpx.Client(timeout=60) as http:
            for _ in range(each):
                headers, body = live.message(
                    "tools/call", {"name": "cell_execute", "arguments": {"path": "together.ipynb", "index": index}}
                )
                answer = http.post(live.mcp_url, headers=headers, json=body).json()["result"]["structuredContent"]
                assert answer["saved"] is True
                # Nobody else runs this cell, so the file shows what the answer shows until it is run again.
                seen.append((answer["result"][0]["content"]["data"]["text/plain"], shown(index)))
        return seen

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        results = list(pool.map(client, range(count)))
    for index, seen in enumerate(results):
        first = 2 if index == 0 else 1
        assert seen == [(str(first + run), str(first + run)) for run in range(each)]


def test_a_timeout_in_the_queue_stops_nobody_else(live: LiveServer) -> None:
    write_notebook(live.workspace / "line.ipynb", "import time\ntime.sleep(4)\nprint('whole')", "print('never')")
    first = live.structured("cell_execute", path="line.ipynb", index=0, timeout=0.5)
    with pytest.raises(ToolFailed, match="Its turn had not come, so nothing was run"):
        live.call("cell_execute", path="line.ipynb", index=1, timeout=0.5, on_timeout="interrupt")
    ended = live.structured("execution_get", execution_id=first["execution_id"], timeout=30)
    assert (ended["status"], text(ended["result"])) == ("ok", "whole\n")
    assert live.on_disk("line.ipynb")["cells"][1]["outputs"] == []
    assert text(live.call("cell_execute", path="line.ipynb", index=1)) == "never\n"
