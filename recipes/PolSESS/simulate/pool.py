"""The recordings of one subset, arranged for drawing mixtures from them.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np

from simulate.acoustics import event_scenes, setting_of


class SourcePool:
    """The recordings of one subset that are long enough for a segment.

    Arguments
    ---------
    recordings : list of Recording
        Of all subsets, as read_sources returns them.
    subset : str
        "train", "val" or "test".
    folder : pathlib.Path
        Where relative paths of the recordings start.
    segment_seconds : float
        Shorter recordings are left out.
    """

    def __init__(self, recordings, subset, folder, segment_seconds):
        self.subset = subset
        self.folder = folder
        self.segment_seconds = segment_seconds
        self.speech = []
        self.scenes = {"indoor": [], "outdoor": []}
        self.events = {}
        for recording in recordings:
            if recording.subset != subset:
                continue
            if recording.frames < self.segment_frames(recording):
                continue
            if recording.role == "speech":
                self.speech.append(recording)
            elif recording.role == "envScene":
                setting = setting_of(recording.labels[0])
                self.scenes[setting].append(recording)
            else:
                for label in recording.labels:
                    self.events.setdefault(label, []).append(recording)
        speakers = [recording.speaker for recording in self.speech]
        _, self.speaker_codes = np.unique(speakers, return_inverse=True)
        self.event_classes = self._match_events()

    def segment_frames(self, recording):
        """Length of a segment in samples of a recording.

        Arguments
        ---------
        recording : Recording
            Its sample rate counts.

        Returns
        -------
        frames : int
            Number of samples.
        """
        return round(self.segment_seconds * recording.sample_rate)

    def _match_events(self):
        """Scene class -> its compatible event classes that have a recording."""
        matches = {}
        for scenes in self.scenes.values():
            for scene_class in {scene.labels[0] for scene in scenes}:
                matches[scene_class] = sorted(
                    label
                    for label in self.events
                    if scene_class in event_scenes().get(label, ())
                )
        return matches

    def problems(self, indoor_ratio):
        """Lists what the subset lacks for mixtures to be drawn from it.

        Arguments
        ---------
        indoor_ratio : float
            Probability of an indoor mixture: 0 needs no indoor scene, 1 no
            outdoor one.

        Returns
        -------
        problems : list of str
            One line each, empty if mixtures can be drawn.
        """
        enough = f"of at least {self.segment_seconds:g} s"
        problems = []
        n_speakers = len(np.unique(self.speaker_codes))
        if n_speakers < 2:
            problems.append(
                f"{self.subset}: {n_speakers} speaker(s) with a recording "
                f"{enough}, a mixture needs two"
            )
        needed = [
            setting
            for setting, share in (
                ("indoor", indoor_ratio),
                ("outdoor", 1 - indoor_ratio),
            )
            if share > 0
        ]
        for setting in needed:
            if not self.scenes[setting]:
                problems.append(
                    f"{self.subset}: no {setting} scene recording {enough} "
                    f"(indoor ratio {indoor_ratio:g})"
                )
            classes = {scene.labels[0] for scene in self.scenes[setting]}
            for scene_class in sorted(classes):
                if not self.event_classes[scene_class]:
                    problems.append(
                        f"{self.subset}: no event recording {enough} is "
                        f"compatible with the scene class {scene_class} "
                        "(event_scenes.csv lists the classes that are)"
                    )
        return problems
