import keras


class Masking:
    """Draws the masks of a step: the contract of this folder.

    A masking that owns variables is a Keras layer too; one that only draws is handed the seeds of its
    method, which owns them.

    Attributes:
        num_units: N, mask units of an image.
        num_views: masked views of each image in a step [1].
        derived_variables: variables that follow from the arguments; no checkpoint holds them [none].
    """

    num_views = 1
    derived_variables = ()

    def draw(self, batch):
        """The masks of a step: a list with one `Mask` per view.

        Args:
            batch: number of images of this step's part of the batch.
        """
        raise NotImplementedError

    def given(self, hidden, batch):
        """The same for masks of the caller's choice; concrete, not traced.

        Args:
            hidden: `(N,)` or `(masks, N)`, 1 = hidden; with several views, those of one after those
                of the other.

        Raises:
            ValueError: a shape that does not fit, or masks that hide nothing or all.
        """
        raise NotImplementedError

    def sample(self, seed):
        """Masks drawn on the host: int8 `(masks, N)`, 1 = hidden, as `given` takes them."""
        raise NotImplementedError

    def refresh(self, epoch):
        """Called before every epoch; a mask bank draws its masks anew."""

    def rows(self, hidden):
        """`hidden` as `(num_views, masks, N)`, or a ValueError."""
        hidden = keras.ops.convert_to_numpy(hidden)
        if hidden.size % (self.num_views * self.num_units) or not hidden.size:
            raise ValueError(
                f"hidden must hold rows of {self.num_units} mask units, 1 = hidden, for "
                f"{self.num_views} views; got shape {hidden.shape}."
            )
        return hidden.reshape(self.num_views, -1, self.num_units)
