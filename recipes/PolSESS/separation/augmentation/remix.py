"""Dynamic mixing: parts of several mixtures make a new one in each epoch.

A corpus that stores its components apart, as PolSESS does, can be mixed again.
The speech is of one mixture, the scene of a second, the event of a third. The
second speaker comes from another mixture too. Levels are drawn as the generator
of PolSESS draws them. Reverberation stays with its speaker or event.

From: N. Zeghidour, D. Grangier, "Wavesplit: End-to-End Speech Separation by
Speaker Clustering", TASLP 2021.

Authors
 * The PolSESS recipe team 2026
"""

from bisect import bisect_right

SWITCH_OFF = "switch it off by --remix_probability=0"


class Remix:
    """Chooses the parts of a new mixture, and their levels.

    Raises ValueError when an argument makes no sense.

    Arguments
    ---------
    probability : float
        That a mixture is replaced by a new one, in 0 to 1.
    ssr_db : list of float
        Range of the level of speaker 1 over speaker 2, in dB.
    scene_db : list of float
        Range of the level of the scene over both speakers, in dB.
    """

    def __init__(self, probability=0.0, ssr_db=(-5, 5), scene_db=(-14, 0)):
        check_number("remix_probability", probability, 0, 1)
        for key, limits in (("ssr_db", ssr_db), ("scene_db", scene_db)):
            if not isinstance(limits, (list, tuple)) or len(limits) != 2:
                raise ValueError(
                    f"remix.{key}: expected [lowest, highest], found {limits!r}"
                )
            check_number(f"remix.{key}[0]", limits[0], -100, 100)
            check_number(f"remix.{key}[1]", limits[1], limits[0], 100)
        self.probability = probability
        self.ssr_db = ssr_db
        self.scene_db = scene_db

    def set_rows(self, rows, task, samples_of):
        """Sets the mixtures to take parts from.

        Raises ValueError when a setting has no two of them.

        Arguments
        ---------
        rows : dict
            Mixture ID -> row of the manifest. They are not copied.
        task : str
            ES, EB or SB.
        samples_of : callable
            Gives the length of a row.
        """
        self.rows = rows
        kinds = {"background": lambda row: True}
        if task != "ES":
            kinds["speech"] = _names_two_speakers
        self.donors = {}
        for setting in sorted({row["setting"] for row in rows.values()}):
            if setting == "dry":
                continue
            for kind, fits in kinds.items():
                samples = {
                    i: samples_of(row)
                    for i, row in rows.items()
                    if row["setting"] == setting and fits(row)
                }
                if len(samples) < 2:
                    named = " that name two speakers" * (kind == "speech")
                    raise ValueError(
                        f"remix: expected 2 or more {setting} training "
                        f"mixtures{named}, found {len(samples)}; {SWITCH_OFF}"
                    )
                self.donors[setting, kind] = Donors(samples)

    def choose(self, mixture_id, needed, chance):
        """Chooses another mixture for each part but speaker 1.

        Arguments
        ---------
        mixture_id : str
            The mixture to replace, whose setting and speaker 1 stay.
        needed : dict
            Part of the mixture, for instance ``s2`` -> samples to take.
        chance : callable
            Draws a number in [0, 1) for a purpose.

        Returns
        -------
        dict
            Part -> mixture ID and the part of that mixture.
        """
        row = self.rows[mixture_id]
        name, setting = row["speaker1"], row["setting"]
        chosen = {"s1": (mixture_id, "s1")}
        for part in needed.keys() - chosen:
            kind = "speech" if part == "s2" else "background"
            donors = self.donors[setting, kind]
            # Nobody knows who differs from a speaker without a name.
            donor = mixture_id
            if part != "s2" or name:
                position = chance(f"remix {part}")
                donor = donors.pick(mixture_id, needed[part], position)
            chosen[part] = donor, part
            if part == "s2" and donor != mixture_id:
                # One of two persons at least is not speaker 1.
                other = self.rows[donor]
                able = [s for s in "12" if other[f"speaker{s}"] != name]
                number = able[int(chance("remix speaker") * len(able))]
                chosen[part] = donor, f"s{number}"
        return chosen

    def gains(self, power, chance):
        """Draws the levels of the second speaker and the scene.

        The scene's level is over both speakers, as in the generator. Their
        powers add up, also where the task leaves the second one unread. What is
        silent stays as it is, and so does what a silent speaker would decide.

        Arguments
        ---------
        power : dict
            Part -> mean square of its dry signal; speaker 1 is one of them.
        chance : callable
            Draws a number in [0, 1) for a purpose.

        Returns
        -------
        dict
            Part -> factor. Others keep their level.

        Example
        -------
        >>> remix = Remix(1.0, ssr_db=[20, 20], scene_db=[0, 0])
        >>> gains = remix.gains({"s1": 4.0, "s2": 1.0}, lambda purpose: 0.5)
        >>> round(gains["s2"], 3)
        0.2
        """
        ssr = 10 ** (_between(self.ssr_db, chance("remix ssr")) / 10)
        scene = 10 ** (_between(self.scene_db, chance("remix level")) / 10)
        wanted = {
            "s2": power["s1"] / ssr,
            "scene": power["s1"] * (1 + 1 / ssr) * scene,
        }
        return {
            part: (wanted[part] / power[part]) ** 0.5
            for part in wanted.keys() & power
            if power[part] > 0 and wanted[part] > 0
        }


class Donors:
    """Mixtures to take parts from, the longest first.

    Arguments
    ---------
    samples : dict
        Mixture ID -> its length.

    Example
    -------
    >>> donors = Donors({"a": 80, "b": 90, "c": 70})
    >>> [donors.pick("b", 75, position) for position in (0.0, 0.9)]
    ['a', 'a']
    """

    def __init__(self, samples):
        self.ids = sorted(samples, key=lambda i: (-samples[i], i))
        self.lengths = [-samples[i] for i in self.ids]

    def pick(self, mixture_id, samples, position):
        """Picks another mixture, each of them with the same probability.

        Arguments
        ---------
        mixture_id : str
            The one not to pick.
        samples : int
            The length that is needed.
        position : float
            In [0, 1).

        Returns
        -------
        str
            The ID picked; ``mixture_id`` where no other is long enough.
        """
        n_able = bisect_right(self.lengths, -samples)
        if not n_able:
            return mixture_id
        donor = self.ids[int(position * (n_able - 1))]
        # The last one stands in for the mixture itself.
        return self.ids[n_able - 1] if donor == mixture_id else donor


def _names_two_speakers(row):
    return len({row["speaker1"], row["speaker2"]} - {""}) == 2


def check_number(key, value, lowest, highest):
    """Raises ValueError unless a value is a number in a range.

    Arguments
    ---------
    key : str
        The key of the YAML.
    value : object
        To check.
    lowest, highest : float
        The range.
    """
    if type(value) not in (int, float) or not lowest <= value <= highest:
        raise ValueError(
            f"{key}: expected a number from {lowest} to {highest}, found "
            f"{value!r}"
        )


def _between(limits, position):
    return limits[0] + position * (limits[1] - limits[0])
