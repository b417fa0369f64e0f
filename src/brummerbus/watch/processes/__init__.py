"""The processes that are watched: what to run, starting it, and stopping it.

options      the command line               manager     starts, stops and signals them all
procfile     its lines                      managed     one of them: its state
formation    how many of which              restart     when one is started again
environment  .env, PORT and PS              ready       when one is ready
process      one process, and its lines     group       a process and its descendants
launch       with pipes or terminals        guardian    ends them if the watcher is killed
attach       forwards standard input
"""
