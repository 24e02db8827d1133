"""Any torch.nn.Module as a model over one flat vector."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from troth.errors import CharterError
from troth.learning.chance import (
    TORCH,
    Generator,
    kept_generators,
    other_states,
    seeded,
    states,
    states_of,
    torch_state,
)
from troth.learning.device import repeatable
from troth.learning.memories import Memories
from troth.learning.models import Beginning, Model, Purpose
from troth.learning.recognition import recognise
from troth.references import raised
from troth.streams import Stream
from troth.wire import Float32s

Factory = Callable[[], object]

Results = TypeVar("Results", bound=tuple[Tensor, ...])

_PROBES = 3
"""Examples of the forward pass that checks a new module."""

_PASSES = 12
"""How often a new module has to give the same answer: enough to notice what it does each tenth
time."""

_TRIALS = 32
"""How many computations, of different sizes, are done twice in a run."""


class _Own(NamedTuple):
    """What a thread has of a module for itself."""

    module: nn.Module
    memories: Memories
    generators: dict[str, Generator]
    """Those that it keeps, and those of its file, which it shares with others."""


class ModuleModel(Model):
    """What `factory()` builds, called through `torch.func.functional_call`.

    The flat vector holds the parameters that require a gradient, in the order of
    `named_parameters()`. Everything else in the module (frozen parameters, buffers) is a constant
    that all parties share, as built with torch's generator seeded with 0. The module stays in
    training mode: what would make that differ from evaluation is refused.

    Args:
      factory: builds the module; its only chance is torch's global generator, which is seeded for
      it
        and put back afterwards.
      key: where the model stands in the file, for errors.
      value: what stands there.
      trusted: it is known to repeat, so that its computations need not be done twice.

    Raises:
      CharterError: the factory raises, gives no module, or another one each time; nothing to train;
        parameters that are not float32, not finite or not made yet; a forward pass that raises,
        gives the wrong shape, draws random numbers (dropout), changes buffers (running statistics
        of batch normalisation) or lets the examples of a batch influence one another; scores that
        are not finite, or of which no gradient can be taken. A module that draws only for some data
        is refused when it does so. The first computations of a run are done twice, as are those
        in which a generator has moved: a module that gives something else the second time is
        refused, as is one that gives something other than scores for some data, leaves, or changes
        a tensor that it keeps in place.
    """

    def __init__(
        self,
        factory: Factory,
        purpose: Purpose,
        *,
        key: str,
        value: object,
        trusted: bool = False,
    ) -> None:
        self._factory, self._key, self._value = factory, key, value
        self._trusted = trusted
        self._tried: set[tuple[object, ...]] = set()
        """Sizes of the computations that were done twice."""
        module = self._build(0)
        self._check_made(module)
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._check_parameters(trained)
        again = self._build(0)
        self._check_begins_alike(module, again)
        self._shapes = {name: p.shape for name, p in trained.items()}
        self._lengths = [p.numel() for p in trained.values()]
        form = recognise(module, purpose.features)
        activations, scores = self._check_forward(module, purpose, again)
        self._begins = Beginning(
            tuple((name, tuple(shape)) for name, shape in self._shapes.items()), scores.numpy()
        )
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self._check_copied(module)
        self._module = module
        self._own = threading.local()
        super().__init__(
            purpose,
            dimension=sum(self._lengths),
            floats_per_example=purpose.inputs + 3 * activations,
        )
        self.form = form
        self._check_gradient(np.concatenate([p.detach().reshape(-1) for p in trained.values()]))

    def init(self, stream: Stream) -> Float32s:
        """The module's own initialisation, with torch's generator seeded from the stream.

        torch.Generator takes 64 bits, so the upper half of the stream's key is left out.
        """
        module = self._build(stream.key() % 2**64)
        parameters = dict(module.named_parameters())
        flat = [parameters[name].detach().reshape(-1).numpy() for name in self._shapes]
        return np.concatenate(flat, dtype=np.float32)

    def predict(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        pieces = torch.split(params_D, self._lengths)
        parameters = {
            name: piece.view(shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        x = torch.unflatten(x_BF, -1, self.features)
        settings = _settings()
        module, memories, _ = self._of_this_thread()
        try:
            scores: object = torch.func.functional_call(module, parameters, (x,))
        except SystemExit as error:
            raise self._problem(
                "returned a module that " + raised(error), "let forward raise an Exception"
            ) from error
        finally:
            # What it has kept would change its next answer, and no other process knows it.
            memories.put_back()
        self._check_settings(settings)
        changed = memories.changed_in_place()
        if changed is not None:
            raise self._problem(
                f"returned a module that changes its {changed} in place",
                "what a module keeps is not shared and must not change its answers: leave it out, "
                "or assign a new tensor, which is forgotten after the call",
            )
        return self._answer(scores, x, self.outputs, params_D.dtype)

    def scores(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        (scores_BK,) = self._repeated(_plain(super().scores), params_D, x_BF)
        return scores_BK

    def gradient(
        self, params_D: Tensor, x_BF: Tensor, y_B: Tensor, weight_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._repeated(super().gradient, params_D, x_BF, y_B, weight_B)

    def gradients(
        self, params: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._repeated(super().gradients, params, x_PBF, y_PB, weight_PB)

    def predictions(self, params_PD: Tensor, x: Tensor) -> Tensor:
        (scores_PBK,) = self._repeated(_plain(super().predictions), params_PD, x)
        return scores_PBK

    @contextmanager
    def watched(self) -> Iterator[None]:
        # A draw that depends on the data is not seen when the module is built, so torch's generator
        # is watched in training, too. Where those of numpy and Python have moved, other threads may
        # have drawn there: the computation is done again (`_repeated`).
        before = torch_state()
        yield
        if torch_state() != before:
            raise self._draws(TORCH)

    def _repeated(self, compute: Callable[..., Results], *given: Tensor) -> Results:
        """What `compute` gives, done twice where it is of a size that is new, or where a global
        generator has moved meanwhile: by the module, or by another thread.

        Raises:
          CharterError: it gives something else the second time.
        """
        if self._trusted:
            return compute(*given)
        kept = self._of_this_thread().generators
        before = other_states(), states_of(kept)
        with self.watched():
            results = compute(*given)
        size = tuple(tensor.shape for tensor in given)
        first = size not in self._tried and len(self._tried) < _TRIALS
        if first:
            self._tried.add(size)
        if first or (other_states(), states_of(kept)) != before:
            # Draws need no other seed to differ; and one would show in other threads as theirs.
            again = compute(*given)
            for one, other in zip(results, again, strict=True):
                if not torch.equal(one.nan_to_num(), other.nan_to_num()):
                    raise self._changes()
        return results

    def move(self, device: torch.device) -> None:
        self._module.to(device)
        self._own = threading.local()

    def begins(self) -> Beginning:
        return self._begins

    def check_begins(self, elsewhere: Beginning | None) -> None:
        assert elsewhere is not None
        here = self._begins
        if here.shapes != elsewhere.shapes or not np.allclose(
            here.scores, elsewhere.scores, rtol=1e-3, atol=1e-4
        ):
            raise self._problem(
                "returned another module in a worker process of the engine",
                "let it depend on its arguments only: not on hash, on the order of a set, on the "
                "process or on its environment",
            )

    def _of_this_thread(self) -> _Own:
        """`functional_call` puts parameters into the module while it runs, so two threads cannot
        share one."""
        own: _Own | None = getattr(self._own, "module", None)
        if own is None:
            module = copy.deepcopy(self._module)
            own = self._own.module = _Own(module, Memories(module), kept_generators(module))
        return own

    def _build(self, seed: int) -> nn.Module:
        with seeded(seed), repeatable(torch.device("cpu")), torch.enable_grad():
            try:
                module = self._factory()
            except CharterError:
                raise
            except (Exception, SystemExit) as error:
                raise self._problem(
                    raised(error),
                    "it is called as callable(features, outputs, **arguments)",
                ) from error
        if not isinstance(module, nn.Module):
            raise self._problem(
                f"returned a {type(module).__name__}", "return a torch.nn.Module, not yet called"
            )
        return module.train()

    def _check_made(self, module: nn.Module) -> None:
        for name, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                where = f"whose {name} is" if name else "that is"
                raise self._problem(
                    f"returned a module {where} compiled by TorchScript",
                    "return the module as it is, without torch.jit",
                )
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_meta:
                raise self._problem(
                    f"returned a module whose {name} is on the device meta, where nothing has "
                    "a value",
                    "build the module on the CPU",
                )
            if is_lazy(tensor):
                raise self._problem(
                    f"returned a module whose {name} has no shape yet",
                    "say its sizes instead of leaving them to a Lazy layer: "
                    "features is the shape of one example",
                )

    def _check_copied(self, module: nn.Module) -> None:
        try:
            copy.deepcopy(module)
        except Exception as error:
            raise self._problem(
                "returned a module that cannot be copied, as each thread of an engine has its "
                f"own: {type(error).__name__}: {error}",
                "keep no locks, generators, files or the like in its attributes",
            ) from error

    def _check_begins_alike(self, module: nn.Module, again: nn.Module) -> None:
        first, second = _tensors(module), _tensors(again)
        if first.keys() != second.keys():
            raise self._problem(
                "returned a module that begins with other parts each time",
                "build the same layers for the same arguments",
            )
        for name, tensor in first.items():
            if not torch.equal(tensor, second[name]):
                raise self._problem(
                    f"returned a module that begins with other values of {name} each time",
                    "draw initial values from torch's global generator, which is seeded for it",
                )

    def _check_gradient(self, params_D: Float32s) -> None:
        """A step of two parties by the plain loop, and whether vmap gives the same."""
        generator = torch.Generator().manual_seed(1)
        x_PBF = torch.rand(2, _PROBES, self.inputs, generator=generator, dtype=torch.float32)
        if self.task == "regression":
            y_PB = torch.rand(2, _PROBES, generator=generator, dtype=torch.float32)
        else:
            y_PB = torch.randint(self.outputs, (2, _PROBES), generator=generator)
        params_PD = torch.from_numpy(params_D).expand(2, -1).clone()
        weight_PB = torch.full((2, _PROBES), 1 / _PROBES, dtype=torch.float32)
        with seeded(0), repeatable(torch.device("cpu")):
            scores = self.predict(params_PD[0].requires_grad_(), x_PBF[0])
            if not scores.requires_grad:
                raise self._problem(
                    "returned a module whose scores have no gradient",
                    "leave out torch.no_grad, detach and conversions to whole numbers or to numpy",
                )
            params_PD = params_PD.detach()
            before = states(self._module)
            try:
                plain_PD, _ = self._loop_gradients(params_PD, x_PBF, y_PB, weight_PB)
            except CharterError:
                raise
            except Exception as error:
                raise self._problem(
                    "returned a module that cannot be trained: its gradient raised "
                    f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}",
                    "use operations that torch can differentiate, repeatably and without sparse "
                    "gradients",
                ) from error
            moved = [name for name, at in states(self._module).items() if at != before.get(name)]
            if moved:
                raise self._draws(moved[0])
            reason = self._why_not_vectorised(params_PD, x_PBF, y_PB, weight_PB, plain_PD)
        if reason is not None:
            self.vectorised = False
            self.notes.append(
                "the model cannot be computed for many parties at once, so every engine goes "
                f"one party after the other, which is slower: {reason}"
            )

    def _why_not_vectorised(
        self, params_PD: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor, plain_PD: Tensor
    ) -> str | None:
        def objective(params_D: Tensor, x_BF: Tensor, y_B: Tensor, weight_B: Tensor) -> Tensor:
            return (self.losses(params_D, x_BF, y_B) * weight_B).sum()

        for params, shared in ((params_PD[0], None), (params_PD, 0)):
            each = torch.func.vmap(torch.func.grad(objective), in_dims=(shared, 0, 0, 0))
            try:
                grad_PD = each(params, x_PBF, y_PB, weight_PB)
            except Exception as error:
                said = str(error).partition("\n")[0].partition(". ")[0]
                return f"torch.func.vmap raised {type(error).__name__}: {said[:160]}"
            if not torch.allclose(grad_PD, plain_PD, rtol=1e-3, atol=1e-4):
                return "torch.func.vmap gives another gradient"
        return None

    def _check_parameters(self, trained: dict[str, nn.Parameter]) -> None:
        if not trained:
            raise self._problem(
                "returned a module without parameters to train",
                "assign layers to attributes of the module, and leave requires_grad set",
            )
        for name, parameter in trained.items():
            if parameter.dtype != torch.float32:
                raise self._problem(
                    f"returned a module whose {name} is {parameter.dtype}, not torch.float32",
                    "models are float32 everywhere; convert inside forward where you need more",
                )
            if not bool(parameter.isfinite().all()):
                raise self._problem(
                    f"returned a module whose {name} is not finite",
                    "training starts from the initial parameters: mend how they are drawn",
                )

    @torch.no_grad()
    def _check_forward(
        self, module: nn.Module, purpose: Purpose, twin: nn.Module
    ) -> tuple[int, Tensor]:
        """Check a forward pass; return how many floats the layers give out for one example, and the
        scores. `twin` was built in the same way."""
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(_PROBES, *purpose.features, generator=generator, dtype=torch.float32)
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        activations = 0

        def count(_module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal activations
            if isinstance(output, Tensor):
                activations += output.numel() // _PROBES

        hooks = [layer.register_forward_hook(count) for layer in module.modules()]
        scores = self._answer(self._forward(module, x, 1), x, purpose.outputs)
        for hook in hooks:
            hook.remove()
        if not bool(scores.isfinite().all()):
            raise self._problem(
                "returned a module that gives scores that are not finite",
                "look for a division by 0 or a logarithm: inputs are between 0 and 1 here",
            )
        for name, buffer in module.named_buffers():
            if not torch.equal(buffers[name], buffer):
                raise self._problem(
                    f"returned a module that changes its buffer {name} in training",
                    "running statistics are no parameters, so they would not be shared; "
                    "use torch.nn.GroupNorm instead of batch normalisation",
                )
        for seed in range(2, _PASSES + 1):
            again = self._forward(module, x, seed)
            if not isinstance(again, Tensor) or not torch.equal(scores, again):
                raise self._changes()
        twins = self._forward(twin, x, 1)
        if not isinstance(twins, Tensor) or not torch.equal(scores, twins):
            raise self._problem(
                "returned a module that begins with another answer each time",
                "draw what it begins with from torch's global generator, which is seeded for it",
            )
        fewer = self._answer(self._forward(module, x[:-1], 1), x[:-1], purpose.outputs)
        if not torch.allclose(scores[:-1], fewer, rtol=1e-3, atol=1e-4):
            raise self._problem(
                "returned a module whose answer to an example depends on the rest of its batch",
                "use torch.nn.GroupNorm or LayerNorm instead of batch normalisation",
            )
        # A party's last batch may be a single example.
        self._answer(self._forward(module, x[:1], 1), x[:1], purpose.outputs)
        return activations, scores

    def _forward(self, module: nn.Module, x: Tensor, seed: int) -> object:
        with seeded(seed), repeatable(torch.device("cpu")):
            before, settings = states(module), _settings()
            try:
                scores: object = module(x)
            except (Exception, SystemExit) as error:
                raise self._problem(
                    "returned a module that "
                    + raised(error, given=f" on an input of shape {tuple(x.shape)}"),
                    "forward takes (B, *features) and returns (B, outputs)",
                ) from error
            moved = [name for name, state in states(module).items() if state != before.get(name)]
            self._check_settings(settings)
        if moved:
            raise self._draws(moved[0])
        return scores

    def _answer(
        self, scores: object, x: Tensor, outputs: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """What the module has made of `x`, if that is scores."""
        expected = (len(x), outputs)
        if not isinstance(scores, Tensor) or scores.shape != expected:
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise self._problem(
                f"returned a module that maps {tuple(x.shape)} to {found}, not to {expected}",
                "give one score per class and example, or one value per example for regression",
            )
        if scores.dtype != dtype:
            raise self._problem(
                f"returned a module whose scores are {scores.dtype}, not {dtype}, "
                "or have no gradient",
                "models are float32 everywhere; convert the scores at the end of forward",
            )
        return scores

    def _check_settings(self, before: dict[str, object]) -> None:
        for name, value in _settings().items():
            if value != before[name]:
                torch.set_grad_enabled(bool(before["grad mode"]))  # `repeatable` puts others back
                raise self._problem(
                    f"returned a module that changes torch's {name} in forward",
                    "leave it as it is: other computations go by it, too",
                )

    def _changes(self) -> CharterError:
        return self._problem(
            "returned a module that gives another answer each time, as dropout does",
            "let it depend on parameters and examples only, in forward and backward: remove "
            "dropout, however weak, and draws, counters, clocks and what is kept between calls; "
            "l2 regularises and repeats",
        )

    def _draws(self, generator: str) -> CharterError:
        return self._problem(
            f"returned a module that draws random numbers from {generator}, as dropout does",
            "remove the dropout, however weak; l2 regularises and repeats",
        )

    def _problem(self, problem: str, hint: str) -> CharterError:
        return CharterError(problem, key=self._key, value=self._value, hint=hint)


def _plain(compute: Callable[..., Tensor]) -> Callable[..., tuple[Tensor]]:
    """The scores that `compute` gives, without the gradients that a module may have taken."""
    return lambda *given: (compute(*given).detach(),)


def _settings() -> dict[str, object]:
    """What a module could change for everybody."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "default dtype": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.get_deterministic_debug_mode(),
    }


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())
