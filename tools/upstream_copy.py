"""Lays the recipe over a copy of a SpeechBrain checkout and makes the patch.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re
import shutil
import subprocess

from recipe_rules import RECIPE, TABLE

SUBJECT = "Add a recipe for speech separation and enhancement on PolSESS"
BODY = """\
Conv-TasNet on mixtures of two Polish speakers, scene, event and reverberation,
with an audited preparation, a simulated corpus of the same layout, and tests of
nine conditions made by cancelling stored components."""
LINK = "[PolSESS](recipes/PolSESS)"
# The row of the README's table into which the link goes.
ROW = re.compile(r"^(\| *Speech Separation *\|)([^|\n]*?)( *\|.*)$", re.M)


def git(folder, *arguments):
    """Runs git in a folder; returns its output, raises when it fails."""
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        command = " ".join(arguments)
        raise ValueError(
            f"git {command} failed in {folder}: {done.stderr.decode()}"
        )
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def files_to_give(project):
    """Tracked files of the recipe, its table, the samples that this names.

    Arguments
    ---------
    project : Path
        A work tree of this repository.

    Returns
    -------
    list of str
        Paths in it; files that the work tree lacks are among them.
    """
    table = (project / TABLE).read_text(encoding="utf-8")
    samples = set(re.findall(r"tests/samples/[\w./-]+", table))
    listed = git(project, "ls-files", "-z", RECIPE, TABLE, *sorted(samples))
    return sorted(name for name in listed.split("\0") if name)


def make_copy(checkout, folder):
    """Clones what is committed in a checkout, which stays as it is.

    Arguments
    ---------
    checkout : Path
        A git checkout of SpeechBrain.
    folder : Path
        Of the copy, made here.

    Returns
    -------
    str
        The commit.
    """
    head = git(checkout, "rev-parse", "HEAD")
    git(folder.parent, "clone", "-q", "--shared", "-n", checkout, folder)
    git(folder, "checkout", "-q", "-b", "polsess", head)
    return head


def lay_over(project, copy, files):
    """Copies the recipe, links included, and puts it into the table of recipes.

    Arguments
    ---------
    project : Path
        A work tree of this repository.
    copy : Path
        Of SpeechBrain.
    files : list of str
        What to copy.

    Returns
    -------
    list of str
        What is wrong: files that are missing here, or differ there.
    """
    problems = []
    for name in files:
        source, target = project / name, copy / name
        if not source.exists() and not source.is_symlink():
            problems.append(f"{name} is tracked, but not there")
            continue
        if target.exists() and not name.startswith((RECIPE, TABLE)):
            problems.append(f"{name} is SpeechBrain's already")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    readme = copy / "README.md"
    text, count = ROW.subn(rf"\1\2, {LINK}\3", readme.read_text("utf-8"))
    readme.write_text(text, "utf-8")
    if count != 1:
        problems.append("README.md has no row Speech Separation for the link")
    return problems


def commit(copy, project, files):
    """Commits what was laid over, with the author of the project's last commit.

    Arguments
    ---------
    copy : Path
        Of SpeechBrain.
    project : Path
        A work tree of this repository.
    files : list of str
        What was laid over.

    Returns
    -------
    list of str
        Files that SpeechBrain's .gitignore leaves out.
    """
    present = [name for name in files if os.path.lexists(copy / name)]
    ignored = subprocess.run(
        ["git", "-C", copy, "check-ignore", *present],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    git(copy, "add", "README.md", *(set(present) - set(ignored)))
    name, mail = git(project, "log", "-1", "--format=%an%n%ae").split("\n")
    identity = ["-c", f"user.name={name}", "-c", f"user.email={mail}"]
    hooks = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"]
    git(copy, *identity, *hooks, "commit", "-q", "-m", SUBJECT, "-m", BODY)
    return [
        f"{name} is ignored by SpeechBrain's .gitignore" for name in ignored
    ]


def write_patch(copy, path):
    """Writes the commit as a patch, and applies it to the commit before.

    Arguments
    ---------
    copy : Path
        Of SpeechBrain, with the commit.
    path : Path
        Of the patch.

    Returns
    -------
    list of str
        What is wrong: it does not apply, or gives other files.
    """
    # As bytes: samples are in it.
    with open(path, "wb") as file:
        subprocess.run(
            ["git", "-C", copy, "format-patch", "-1", "--stdout", "--binary"],
            stdout=file,
            check=True,
        )
    again = copy.with_name("again")
    git(copy.parent, "clone", "-q", "--shared", "-n", copy, again)
    git(again, "checkout", "-q", "--detach", "HEAD~1")
    try:
        git(again, "apply", "--index", path.resolve())
    except ValueError as error:
        return [" ".join(str(error).split())]
    if git(again, "write-tree") != git(copy, "rev-parse", "HEAD^{tree}"):
        return ["the patch does not give the files that were checked"]
    shutil.rmtree(again)
    return []
