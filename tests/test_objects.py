"""Methods, callable objects and objects that functions read: their attributes are never stale."""

import dataclasses
import pickle
import types

import numpy as np
import pytest
from scipy import optimize

import dualtape as ad

X = np.array([0.3, 0.7])
MODES = ("forward", "reverse")


class Inner:
    def __init__(self, c):
        self.c = c


class Base:
    scale = 2.0

    def power(self, x):
        return x**2 * self.scale


class Model(Base):
    def __init__(self):
        self.a = 1.5
        self.data = np.array([1.0, 2.0])
        self.table = np.linspace(0.0, 1.0, 200)
        self.inner = Inner(3.0)
        self.activation = np.tanh
        self.shape = lambda x: x * self.a

    @property
    def double(self):
        return 2.0 * self.a * self.inner.c

    @staticmethod
    def third(x):
        return x**3

    @classmethod
    def scaled(cls, x):
        return cls.scale * x

    def loss(self, x, weight=2.0, *, shift=0.5):
        residuals = self.a * x - self.data
        s = np.sum(residuals**2) * weight + self.power(x[0]) + self.inner.c * x[1] + shift * x[0]
        s += self.double * x[0] * x[1] + self.third(x[1]) + self.scaled(x[0] ** 2)
        s += self.activation(x[0]) + self.shape(x[1]) + self.table[100] * x[0]
        for item in self.data:
            s += item * x[1] ** 2
        return s

    def residuals(self, x):
        return self.a * x**2 - self.data * self.inner.c

    def __call__(self, x):
        return self.loss(x) * x[0]

    def assigns(self, x):
        self.a = x[0]  # here
        return x[0]

    def passes(self, x):
        return first(self, x)  # here

    def returns(self, x):
        return self  # here

    def misses(self, x):
        return self.nothing * x[0]  # here

    def takes_any(self, *x):
        return x[0]


def first(model, x):
    return model.a * x[0]


@dataclasses.dataclass(eq=True)  # which cannot be hashed
class Line:
    slope: float
    power: int = 2

    def value(self, x):
        return self.slope * x[0] ** self.power


class Slots:
    __slots__ = ("k",)

    def __init__(self):
        self.k = 2.0

    def value(self, x):
        return self.k * x[0] * x[1]


def steps(f, x=X):
    """Return the gradient by complex steps, where f is analytic."""
    return np.array([np.imag(f(x + 1e-30j * e)) / 1e-30 for e in np.eye(x.size)])


def change_number(model):
    model.a = 2.5


def change_array(model):
    model.data = np.array([5.0, -6.0])


def write_array(model):
    model.data[0] = 4.0


def write_table(model):
    model.table[100] = 11.0


def change_inner(model):
    model.inner.c = 7.0


def change_object(model):
    model.inner = Inner(-1.0)


def shadow_class(model):
    model.scale = 5.0


def change_function(model):
    model.activation = np.sin


def change_type(model):
    model.a = 3


CHANGES = (
    change_number,
    change_array,
    write_array,
    write_table,
    change_inner,
    change_object,
    shadow_class,
    change_function,
    change_type,
)


@pytest.mark.parametrize("mode", MODES)
def test_changed_attributes(mode):
    model = Model()

    def reads(x):  # an object that a function finds outside
        return model.loss(x) * model.inner.c + model(x) * model.a

    for f in (model.loss, model, reads):
        gradient = ad.grad(f, mode=mode)
        assert ad.grad(f, mode=mode) is gradient
        np.testing.assert_allclose(gradient(X), steps(f), rtol=1e-13)
    for change in (*CHANGES, *CHANGES[:2]):
        change(model)
        for f in (model.loss, model, reads):
            np.testing.assert_allclose(
                ad.grad(f, mode=mode)(X), steps(f), rtol=1e-13, err_msg=change.__name__
            )
    assert ad.value_and_grad(model, mode=mode)(X)[0] == model(X)


@pytest.mark.parametrize("mode", MODES)
def test_a_change_of_the_class(mode):
    model = Model()
    gradient = ad.grad(model.power, mode=mode)
    assert gradient(3.0) == 12.0
    try:
        Base.scale = 4.0
        assert gradient(3.0) == 24.0
    finally:
        Base.scale = 2.0
    assert gradient(3.0) == 12.0


@pytest.mark.parametrize("mode", MODES)
def test_two_objects_of_one_class(mode):
    one, two = Line(2.0), Line(3.0, 3)
    for _ in range(2):
        assert ad.grad(one.value, mode=mode)(X)[0] == 4.0 * X[0]
        np.testing.assert_allclose(ad.grad(two.value, mode=mode)(X)[0], 9.0 * X[0] ** 2, rtol=1e-15)
    assert ad.grad(Slots().value, mode=mode)(X).tolist() == [2.0 * X[1], 2.0 * X[0]]


@pytest.mark.parametrize("mode", MODES)
def test_arguments_of_a_method(mode):
    model = Model()
    gradient = ad.grad(model.loss, mode=mode)
    for args, options in (((3.0,), {}), ((), {"weight": 4.0}), ((), {"shift": 1.0})):
        np.testing.assert_allclose(
            gradient(X, *args, **options),
            steps(lambda x, a=args, o=options: model.loss(x, *a, **o)),
            rtol=1e-13,
        )


def test_a_namespace():
    p = types.SimpleNamespace(rate=2.0, table=np.arange(3.0))

    def f(x):
        return p.rate * x[0] + p.table[2] * x[1]

    gradient = ad.grad(f)
    assert gradient(X).tolist() == [2.0, 2.0]
    p.rate, p.table[2] = 3.0, 5.0
    assert gradient(X).tolist() == [3.0, 5.0]


def test_objects_that_are_dropped():
    values = [ad.grad(Line(float(k)).value, mode="forward")(X)[0] for k in range(3)]
    assert values == [2.0 * k * X[0] for k in range(3)]


def test_every_transform():
    model = Model()
    np.testing.assert_allclose(ad.jacobian(model.residuals)(X), np.diag(2.0 * model.a * X))
    np.testing.assert_allclose(
        ad.sparse_jacobian(model.residuals)(X).toarray(), np.diag(2.0 * model.a * X)
    )
    hessians = [ad.hessian(model.loss, mode=mode)(X) for mode in MODES]
    np.testing.assert_allclose(hessians[0], hessians[1], rtol=1e-13)
    v = np.array([0.2, -0.4])
    np.testing.assert_allclose(ad.hvp(model.loss)(X, v), hessians[0] @ v, rtol=1e-13)
    np.testing.assert_allclose(ad.jvp(model.loss, (X,), (v,))[1], steps(model.loss) @ v, rtol=1e-13)
    np.testing.assert_allclose(ad.vjp(model.loss, X)[1](1.0)[0], steps(model.loss), rtol=1e-13)


def test_with_scipy():
    model = Model()
    result = ad.optimize.minimize(model.loss, X, method="trust-exact")
    np.testing.assert_allclose(steps(model.loss, result.x), 0.0, atol=1e-7)
    assert result.fun == model.loss(result.x)
    assert result.fun < optimize.minimize(model.loss, X, method="nelder-mead").fun + 1e-6
    fit = ad.optimize.least_squares(model.residuals, X)
    np.testing.assert_allclose(fit.x, np.sqrt(model.data * model.inner.c / model.a), rtol=1e-9)


def test_a_derivative_of_a_method_is_pickled():
    line = Line(2.0)
    gradient = pickle.loads(pickle.dumps(ad.grad(line.value)))
    assert gradient(X)[0] == 4.0 * X[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("assigns", "assigns the attribute 'a' of an object of class Model"),
        ("passes", "uses an object of class Model"),
        ("returns", "uses an object of class Model"),
        ("misses", "reads the attribute 'nothing'"),
    ],
)
def test_refused(method, message, mode):
    model = Model()
    with pytest.raises(ad.UnsupportedFunctionError, match=message) as caught:
        ad.grad(getattr(model, method), mode=mode)(X)
    line = int(str(caught.value).split("line ")[1].split(" ")[0])
    with open(__file__, encoding="utf-8") as file:
        assert file.readlines()[line - 1].endswith("# here\n")
    np.testing.assert_allclose(ad.grad(model.loss, mode=mode)(X), steps(model.loss), rtol=1e-13)


def test_parameters_of_any_number():
    with pytest.raises(ad.ArgumentError, match=r"takes_any takes \*args"):
        ad.grad(Model().takes_any)


class Scaled:  # noqa: PLW1641  # the lack of a hash is what is tested
    """Compared by what it holds, so that Python gives it no hash."""

    def __init__(self, factor):
        self.factor = factor

    def __eq__(self, other):
        return isinstance(other, Scaled) and self.factor == other.factor

    def __call__(self, x):
        return self.factor * x * x

    def slope(self, x):
        return self.factor * x


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_an_object_without_hash(mode):
    scaled = Scaled(3.0)

    def f(x):
        total = 0.0
        for i in range(len(x)):
            total += scaled(x[i]) * scaled.slope(x[i])
        return total

    x = np.array([1.0, 2.0])
    gradient = ad.grad(f, mode=mode)
    np.testing.assert_allclose(gradient(x), 27.0 * x**2, rtol=1e-14)
    assert ad.grad(scaled)(2.0) == 12.0
    scaled.factor = 5.0
    np.testing.assert_allclose(gradient(x), 75.0 * x**2, rtol=1e-14)
    assert ad.grad(scaled)(2.0) == 20.0
